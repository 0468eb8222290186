"""Sightpost on the workstation: from a folder of pictures to one model file."""

"""``sightpost``: the device's command line."""

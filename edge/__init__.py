"""Sightpost on the device: camera, watch, model, decision, outbox, MQTT. It knows nothing of TensorFlow."""

__version__ = "0.1.0"

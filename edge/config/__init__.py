"""What the owner writes: one TOML file, read strictly.

Unknown keys and wrong types are refused with their path and the nearest right key; units are in the names. Each table
has a module, which also checks what its types cannot and makes its paths absolute; ``loading`` reads the whole.
"""

from edge.config.camera import CameraConfig
from edge.config.commands import CommandsConfig
from edge.config.device import DeviceConfig, OutboxConfig
from edge.config.home_assistant import HomeAssistantConfig
from edge.config.loading import Config, load_config, parse_config
from edge.config.model import ModelConfig
from edge.config.mqtt import MqttConfig, TlsConfig
from edge.config.picture import PictureConfig
from edge.config.sparkplug import SparkplugConfig
from edge.config.watch import MotionConfig, SamplesConfig, WatchConfig

__all__ = [
    "CameraConfig",
    "CommandsConfig",
    "Config",
    "DeviceConfig",
    "HomeAssistantConfig",
    "ModelConfig",
    "MotionConfig",
    "MqttConfig",
    "OutboxConfig",
    "PictureConfig",
    "SamplesConfig",
    "SparkplugConfig",
    "TlsConfig",
    "WatchConfig",
    "load_config",
    "parse_config",
]

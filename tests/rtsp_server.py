"""A real RTSP server, GStreamer's, for Debian's own Python: PORT PIPELINE [USER PASSWORD]."""

import sys

import gi  # type: ignore[import-not-found]  # Debian's package python3-gi, not in our environment

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # noqa: E402  as gi wants it

Gst.init(None)
port, pipeline, *credentials = sys.argv[1:]
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( {pipeline} ! rtph264pay name=pay0 pt=96 config-interval=1 )")
factory.set_shared(True)
if credentials:
    user, password = credentials
    authority = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    authority.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(authority)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    permissions.add_permission_for_role("viewer", "media.factory.access", True)  # noqa: FBT003  GStreamer's
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)  # noqa: FBT003  GStreamer's
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None), "the port is taken"
print("ready", flush=True)
GLib.MainLoop().run()

"""Listens by WHEP with GStreamer's webrtcbin, and writes what it hears to a file: samples of 16 bits at 48 kHz, mono."""

import hashlib
import re
import ssl
import subprocess
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
url, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
loop = GLib.MainLoop()
pipeline = Gst.Pipeline()

# GStreamer 1.22 makes RSA certificates, with which it has none for a server that takes ECDSA.
pem = subprocess.run(
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout - -out - -subj /CN=test".split(),
    check=True,
    capture_output=True,
    text=True,
).stdout
# It hashes the key too when it writes the fingerprint of a certificate that it was given.
certificate = ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERTIFICATE") :])
fingerprint = hashlib.sha256(certificate).digest().hex(":").upper()


def added(_, __, element):
    if element.get_factory() and element.get_factory().get_name() == "dtlssrtpdec":
        element.set_property("pem", pem)


pipeline.connect("deep-element-added", added)
webrtc = Gst.ElementFactory.make("webrtcbin")
webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
pipeline.add(webrtc)
caps = Gst.Caps.from_string(
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"
)
webrtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps)


def created(promise, *_):
    # Kept, because it owns the offer.
    reply = promise.get_reply()
    webrtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())


def gathered(*_):
    if webrtc.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
        return
    offer = webrtc.get_property("local-description").sdp.as_text()
    offer = re.sub("a=fingerprint:.*", f"a=fingerprint:sha-256 {fingerprint}\r", offer)
    request = urllib.request.Request(url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST")
    with urllib.request.urlopen(request) as response:
        text = response.read()
    _, message = GstSdp.SDPMessage.new_from_text(text.decode())
    answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
    webrtc.emit("set-remote-description", answer, Gst.Promise.new())


def heard(_, pad):
    sink = Gst.parse_bin_from_description(
        "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1"
        f" ! filesink location={path}",
        True,
    )
    pipeline.add(sink)
    sink.sync_state_with_parent()
    pad.link(sink.get_static_pad("sink"))
    GLib.timeout_add(int(seconds * 1000), loop.quit)


webrtc.connect("pad-added", heard)
webrtc.connect("notify::ice-gathering-state", gathered)
webrtc.connect(
    "on-negotiation-needed",
    lambda _: webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(created)),
)
pipeline.set_state(Gst.State.PLAYING)
GLib.timeout_add_seconds(60, lambda: sys.exit("nothing was heard"))
loop.run()
pipeline.set_state(Gst.State.NULL)

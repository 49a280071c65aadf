"""Listens by WHEP with aiortc, and writes what it hears to a file: samples of 16 bits at 48 kHz, mono."""

import array
import asyncio
import sys
import urllib.parse
import urllib.request

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription


async def listen(url: str, path: str, seconds: float) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    tracks: asyncio.Queue = asyncio.Queue()
    peer.on("track", tracks.put_nowait)
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp.encode()
    request = urllib.request.Request(url, offer, {"Content-Type": "application/sdp"}, method="POST")
    with urllib.request.urlopen(request) as answer:
        session = answer.headers["Location"]
        sdp = answer.read().decode()
    await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    track = await tracks.get()
    with open(path, "wb") as file:
        samples = 0
        while samples < seconds * 48_000:
            frame = await track.recv()
            # Two channels, which are the same; what follows the samples is padding.
            both = array.array("h", bytes(frame.planes[0])[: 4 * frame.samples])
            file.write(both[::2].tobytes())
            samples += frame.samples
    urllib.request.urlopen(
        urllib.request.Request(urllib.parse.urljoin(url, session), method="DELETE")
    )
    await peer.close()


asyncio.run(listen(sys.argv[1], sys.argv[2], float(sys.argv[3])))

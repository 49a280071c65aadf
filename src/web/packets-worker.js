// @ts-check
// Copies the packets that WebRTC receives to the page, on their way to the browser's decoder.
//
// Browsers hand packets out only on a thread of their own: this is the script of that.

addEventListener("rtctransform", (/** @type {any} */ { transformer: { readable, writable, options } }) => {
  const copy = new TransformStream({
    transform(frame, controller) {
      const data = frame.data.slice(0);
      // The decoder comes first.
      controller.enqueue(frame);
      const time = frame.getMetadata().rtpTimestamp ?? frame.timestamp;
      options.port.postMessage({ data, time }, [data]);
    },
  });
  // It ends with the connection.
  readable.pipeThrough(copy).pipeTo(writable).catch(() => {});
});
// Packets that were handed to a script that does not run would never reach the decoder.
postMessage("ready");

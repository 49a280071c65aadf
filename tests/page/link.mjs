// A link to a station that delays and loses what it carries, for measurements: a second address of this machine, where
// TCP and UDP are relayed. (A kernel with netem would do this better, and not every machine has one.)

import { execFileSync } from "node:child_process";
import dgram from "node:dgram";
import net from "node:net";

/** The address of the link, in the network that `in-network` makes. */
export const LINK = "10.99.0.2";

/**
 * Relays to a station at `station`, which has both ports.
 *
 * @param {object} ways `delay` and `jitter` in milliseconds, each way; `loss` from 0 to 1.
 */
export async function link(station, { tcp, udp }, { delay = 0, jitter = 0, loss = 0 }) {
  execFileSync("ip", ["address", "replace", `${LINK}/24`, "dev", "here"]);
  // Loss is the kernel's, so that TCP repeats what was lost.
  const lose = (action) => {
    for (const [protocol, port] of [["tcp", tcp], ["udp", udp]]) {
      for (const end of ["--sport", "--dport"]) {
        const what = ["INPUT", "-d", LINK, "-p", protocol, end, `${port}`];
        execFileSync("iptables", [action, ...what, "-m", "statistic", "--mode", "random", "--probability", `${loss}`, "-j", "DROP"]);
      }
    }
  };
  if (loss > 0) lose("-A");
  // Otherwise a client would come without the link.
  const direct = ["INPUT", "-d", station, "!", "-s", LINK, "-p", "udp", "--dport", `${udp}`, "-j", "DROP"];
  execFileSync("iptables", ["-A", ...direct]);

  let isOpen = true;
  const later = (work) => {
    const deliver = () => isOpen && work();
    if (delay + jitter === 0) deliver();
    else setTimeout(deliver, delay + Math.random() * jitter);
  };
  const outer = dgram.createSocket("udp4");
  const clients = new Map();
  outer.on("message", (data, { port, address }) => {
    const key = `${address}:${port}`;
    let inner = clients.get(key);
    if (!inner) {
      inner = dgram.createSocket("udp4");
      inner.bind(0, LINK);
      inner.on("message", (answer) => later(() => outer.send(answer, port, address)));
      clients.set(key, inner);
    }
    later(() => inner.send(data, udp, station));
  });
  await new Promise((bound) => outer.bind(udp, LINK, bound));

  const connections = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect({ port: tcp, host: station, localAddress: LINK });
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      connections.add(from);
      from.setNoDelay(true);
      // TCP keeps the order, so there is no jitter.
      from.on("data", (data) => setTimeout(() => to.writable && to.write(data), delay));
      from.on("close", () => setTimeout(() => to.destroy(), delay));
      from.on("error", () => to.destroy());
    }
  });
  await new Promise((bound) => server.listen(tcp, LINK, bound));

  return () => {
    isOpen = false;
    if (loss > 0) lose("-D");
    execFileSync("iptables", ["-D", ...direct]);
    for (const connection of connections) connection.destroy();
    for (const inner of clients.values()) inner.close();
    outer.close();
    server.close();
  };
}

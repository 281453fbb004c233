// A server and a client on loopback, a worker thread and a child process.
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const http = require("node:http");
const { Worker } = require("node:worker_threads");

async function main() {
  const server = http.createServer((_, answer) => answer.end("hello"));
  await once(server.listen(0), "listening");
  for (const host of ["127.0.0.1", "localhost"]) {
    const answer = await fetch(`http://${host}:${server.address().port}/`);
    console.log(host, "said", await answer.text());
  }
  const worker = new Worker("require('worker_threads').parentPort.postMessage(6 * 7)", { eval: true });
  console.log("worker", (await once(worker, "message"))[0]);
  console.log("child", (await once(spawn("sh", ["-c", "exit 7"]), "exit"))[0]);
  process.exit();
}
main();

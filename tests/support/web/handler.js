// The routes of tests/support/web_guests.py, by wasi:http's own incoming-handler.
import { Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam }
  from "wasi:http/types@0.2.10";
import { subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.10";

// what a stream takes at once
const PIECE = 4096;
const PAUSE_NS = 400_000_000n;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const incomingHandler = {
  async handle(request, outparam) {
    const path = request.pathWithQuery().split("?")[0];
    switch (`${request.method().tag} ${path}`) {
      case "get /":
      case "head /":
        return send(outparam, (say) => say("hello\n"));
      case "post /echo":
        return send(outparam, (_, write) => pieces(request, write));
      case "post /sum": {
        const sum = await sumOf(request);
        return send(outparam, (say) => say(sum));
      }
      case "get /headers": {
        const entries = request.headers().entries();
        return send(outparam, (say) => {
          for (const [name, value] of entries) say(`${name}: ${decoder.decode(value)}\n`);
        });
      }
      case "get /stream":
        return send(outparam, (say) => {
          say("first\n");
          subscribeDuration(PAUSE_NS).block();
          say("second\n");
          subscribeDuration(PAUSE_NS).block();
          say("last\n");
        });
      case "get /fail":
        throw new Error("told to fail");
      case "get /slow":
        for (;;);
    }
    return send(outparam, (say) => say("nothing is there\n"), 404);
  },
};

function send(outparam, speak, status = 200) {
  const response = new OutgoingResponse(Fields.fromList([["content-type", encoder.encode("text/plain")]]));
  response.setStatusCode(status);
  const body = response.body();
  ResponseOutparam.set(outparam, { tag: "ok", val: response });
  const stream = body.write();
  const write = (data) => {
    for (let at = 0; at < data.length; at += PIECE) {
      stream.blockingWriteAndFlush(data.subarray(at, at + PIECE));
    }
  };
  speak((text) => write(encoder.encode(text)), write);
  stream[Symbol.dispose]();
  OutgoingBody.finish(body, undefined);
}

function pieces(request, take) {
  const body = request.consume();
  const stream = body.stream();
  for (;;) {
    let data;
    try {
      data = stream.blockingRead(1n << 16n);
    } catch (error) {
      if (error.payload?.tag !== "closed") throw error;
      break;
    }
    take(data);
  }
  stream[Symbol.dispose]();
  IncomingBody.finish(body);
}

async function sumOf(request) {
  const parts = [];
  pieces(request, (data) => parts.push(data));
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${whole.length} ${hex}\n`;
}

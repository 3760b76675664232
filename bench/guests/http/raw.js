import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from "wasi:http/types@0.2.10";

export const incomingHandler = {
  handle(request, responseOut) {
    const type = [["content-type", new TextEncoder().encode("text/plain")]];
    const response = new OutgoingResponse(Fields.fromList(type));
    const body = response.body();
    ResponseOutparam.set(responseOut, { tag: "ok", val: response });
    const out = body.write();
    out.blockingWriteAndFlush(new TextEncoder().encode("hello\n"));
    out[Symbol.dispose]();
    OutgoingBody.finish(body, undefined);
  },
};

// node build.mjs SOURCE INTERFACES OUTPUT: make a component of a script that answers `fetch` events.
import { readFile, writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [source, interfaces, output] = process.argv.slice(2);
const script = await readFile(source, "utf8");
const { component } = await componentize(script, { witPath: interfaces, worldName: "proxy" });
await writeFile(output, component);

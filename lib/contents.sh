#!/bin/sh
# What npx runs: the table of contents. tsx is below the package or beside it, as npm likes.
here=$(dirname "$(realpath "$0")")
PATH=$here/../node_modules/.bin:$here/../../.bin:$PATH exec tsx "$here/contents.ts" "$@"

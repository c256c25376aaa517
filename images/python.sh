#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Print the first python3 on PATH that imports all the modules named.
set -eu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || {
	echo "usage: images/python.sh MODULE...   example: images/python.sh numpy jinja2" >&2
	exit $EX_USAGE
}
find_python "$@" || die $EX_INFRA "no python3 on PATH imports all of: $*; run 'make setup'"

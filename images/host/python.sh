#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Print the first python3 on PATH that imports all the modules named.
set -eu
# shellcheck source=images/cache/lib.sh
. "$(dirname "$0")/../cache/lib.sh"

[ $# -gt 0 ] || {
	echo "usage: images/host/python.sh MODULE...   example: images/host/python.sh numpy jinja2" >&2
	exit $EX_USAGE
}
find_python "$@" || die $EX_INFRA "no python3 on PATH imports all of: $*; run 'make setup'"

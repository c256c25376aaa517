# SPDX-License-Identifier: GPL-2.0-or-later
#
# Copies standard input to log_file and shows how far a build is: the number
# of lines that match pattern, of total expected. The time left starts as
# secs (what it took before) and moves to this run's own pace as it advances.
# With a total of 0 nothing is known: the count is all there is to say.

function now(	t) {
	"date +%s" | getline t
	close("date +%s")
	return t + 0
}

function left_text(s) {
	return s < 90 ? int(s / 10 + 1) * 10 " s" : int(s / 60 + 0.5) " min"
}

function show(	took, share, left) {
	if (total == 0) {
		text = sprintf("  %-8s %d steps", tag, done)
	} else {
		took = now() - begin
		share = done < total ? done / total : 0.99
		# Own pace and old pace, weighted by how much was seen of the own.
		left = (1 - share) * (took + (1 - share) * secs)
		text = sprintf("  %-8s %d of about %d steps, about %s left",
			       tag, done, total, left_text(left))
	}
	if (tty)
		printf "\r%-70s\r%s", "", text
	else
		print text
	fflush()
}

BEGIN {
	begin = now()
	every = tty ? total / 200 : total > 0 ? total / 5 : 200
	next_shown = tty ? 0 : every
}

{
	print >log_file
	if (verbose)
		print
}

$0 ~ pattern {
	done++
	if (!verbose && done >= next_shown) {
		show()
		next_shown += every
	}
}

END {
	if (tty && !verbose)
		printf "\r%-70s\r", ""
}

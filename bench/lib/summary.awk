# summary.awk - bench/targets.txt against what was measured: awk -f rows.awk -f summary.awk targets.txt
#
# Variables: out (the folder with *.json; summary.json goes there). Medians decide; the spread
# stands beside them.

function trim(s) {
	gsub(/^[ \t]+|[ \t]+$/, "", s)
	return s
}

# The rows of a file, read once.
function load_rows(file, path, row) {
	if (file in n_rows)
		return
	path = out "/" file ".json"
	n_rows[file] = 0
	while ((getline row < path) > 0)
		if (index(row, "\"hub\": "))
			rows[file, ++n_rows[file]] = row
	close(path)
}

function row_find(file, wanted, n, i, k, part, at, ok) {
	load_rows(file)
	n = split(wanted, part, /; */)
	for (i = 1; i <= n_rows[file]; i++) {
		ok = 1
		for (k = 1; k <= n; k++) {
			at = index(part[k], "=")
			if (field(rows[file, i], substr(part[k], 1, at - 1)) != substr(part[k], at + 1) "")
				ok = 0
		}
		if (ok)
			return rows[file, i]
	}
	return ""
}

# bound is ">= 2.8", "<= 12" or "-".
function reached(bound) {
	if (bound == "-")
		return 1
	return substr(bound, 1, 2) == ">=" ? median >= substr(bound, 3) + 0 : median <= substr(bound, 3) + 0
}

function verdict_of(row, must, aim) {
	# A rate counts only with less than 0.1 % lost.
	if (field(row, "ratio_loss_percent") + 0 >= 0.1)
		return "MUST MISSED, loss"
	return !reached(must) ? "MUST MISSED" : !reached(aim) ? "aim missed" : "reached"
}

function judge(what, file, wanted, name, must, aim, row, verdict, figure, f, kind) {
	sub(/hub=R$/, "hub=" reference, wanted)
	row = row_find(file, wanted)
	kind = ""
	if (name == "ratio" && index(row, "\"ratio_kind\": ")) {
		kind = field(row, "ratio_kind")
		name = kind "_ratio"
	}
	figure = "-"
	verdict = "not measured"
	if (row != "" && figure_read(row, name)) {
		f = digits(median)
		figure = sprintf(f " [" f ".." f "]", median, low, high)
		verdict = verdict_of(row, must, aim)
		printf "%s\n  {\"target\": \"%s\", \"section\": \"%s\", \"of\": \"%s\", " \
			"\"measured\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}, " \
			"\"must\": \"%s\", \"aim\": \"%s\", \"verdict\": \"%s\"}", begun++ ? "," : "", what,
			section, kind, median, low, high, must, aim, verdict > json
	}
	count[verdict]++
	printf "%-41s %-24s %-4s %8s %8s  %s\n", what, figure, kind, must, aim, verdict
}

BEGIN {
	FS = "|"
	json = out "/summary.json"
	printf "{\"topic\": \"summary\", \"results\": [" > json
	printf "%-41s %-24s %-4s %8s %8s\n", "", "measured", "of", "must", "aim"
}

/^#/ || /^[ \t]*$/ {
	next
}

/^R = / {
	reference = trim(substr($0, 5))
	next
}

/^\[/ {
	section = substr($0, 2, index($0, "]") - 2)
	printf "\n%s\n", section
	next
}

NF == 6 {
	judge(trim($1), trim($2), trim($3), trim($4), trim($5), trim($6))
	next
}

{
	print FILENAME ": line " FNR " is not understood: " $0 > "/dev/stderr"
}

END {
	printf "\n]}\n" > json
	printf "\nR is %s. of: packets forwarded (kpps) or, where the load generator was the limit,\n" \
		"the hub's CPU time for each (cpu). %d reached, %d aim missed, %d must missed, %d not measured.\n",
		reference, count["reached"], count["aim missed"],
		count["MUST MISSED"] + count["MUST MISSED, loss"], count["not measured"]
}

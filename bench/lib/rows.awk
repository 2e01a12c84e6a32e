# rows.awk - the figures in bench/out/*.json, for other awk programs: awk -f rows.awk -f other.awk.
#
# Each result is a line of its own with {"name": value, ...}; a value is a text, a number or
# {"median": m, "min": a, "max": b}. Nothing else is read, and no other file.

# Text or number of a field, "" where there is none.
function field(row, name, at, rest) {
	at = index(row, "\"" name "\": ")
	if (!at)
		return ""
	rest = substr(row, at + length(name) + 4)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		return substr(rest, 1, index(rest, "\"") - 1)
	}
	match(rest, /^[-+.0-9eE]*/)
	return substr(rest, 1, RLENGTH)
}

# Sets median, low and high; false where the row has no such figure.
function figure_read(row, name, at, rest) {
	at = index(row, "\"" name "\": {")
	if (!at)
		return 0
	rest = substr(row, at + length(name) + 4)
	rest = substr(rest, 1, index(rest, "}"))
	median = field(rest, "median") + 0
	low = field(rest, "min") + 0
	high = field(rest, "max") + 0
	return 1
}

function digits(v) {
	return v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : v >= 1 ? "%.2f" : "%.3f"
}

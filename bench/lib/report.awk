# report.awk - a table and JSON of lines "metric unit higher|lower hub round value" (tabs between).
#
# Figures are medians over the rounds with smallest and largest. The first hub is compared with each
# other one, within each round, so that what disturbs the machine disturbs both sides; a ratio above
# 1 is better for the first, whichever way the unit counts.
# Variables: topic, title, json (a file), date, cpu, cores, kernel.

BEGIN {
	FS = "\t"
}

NF == 6 {
	if (!($1 in unit)) {
		metrics[++n_metrics] = $1
		unit[$1] = $2
		better[$1] = $3
	}
	if (!($4 in hub_seen)) {
		hubs[++n_hubs] = $4
		hub_seen[$4] = 1
	}
	value[$1, $4, $5] = $6
	if ($5 > n_rounds)
		n_rounds = $5
	next
}

{
	print
}

# Sorts list[1..n] and sets median, low, high.
function spread(n, i, k, v) {
	for (i = 2; i <= n; i++) {
		v = list[i]
		for (k = i; k > 1 && list[k - 1] > v; k--)
			list[k] = list[k - 1]
		list[k] = v
	}
	low = list[1]
	high = list[n]
	median = (list[int((n + 1) / 2)] + list[int(n / 2) + 1]) / 2
}

function digits(v) {
	return v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : v >= 1 ? "%.2f" : "%.3f"
}

function figure(f) {
	f = digits(median)
	return sprintf(f " [" f ".." f "]", median, low, high)
}

function figure_json(name) {
	return sprintf("\"%s\": {\"median\": %.6g, \"min\": %.6g, \"max\": %.6g}", name, median, low, high)
}

function values_of(metric, hub, r, n) {
	for (r = 1; r <= n_rounds; r++)
		if ((metric, hub, r) in value)
			list[++n] = value[metric, hub, r] + 0
	return n
}

function ratios_of(metric, hub, r, n, ours, theirs) {
	for (r = 1; r <= n_rounds; r++) {
		if (!((metric, hub, r) in value) || !((metric, hubs[1], r) in value))
			continue
		ours = value[metric, hubs[1], r]
		theirs = value[metric, hub, r]
		if (better[metric] == "lower")
			list[++n] = ours > 0 ? theirs / ours : 0
		else
			list[++n] = theirs > 0 ? ours / theirs : 0
	}
	return n
}

END {
	if (!n_metrics) {
		print topic ": nothing was measured" > "/dev/stderr"
		exit 1
	}
	printf "%s\n%s, %d cores, Linux %s, %s; %d rounds in turn; median [smallest..largest]; " \
		"ratio: %s over the others, above 1 is better for it\n\n",
		title, cpu, cores, kernel, date, n_rounds, hubs[1]
	printf "{\"topic\": \"%s\", \"title\": \"%s\", \"machine\": \"%s, %d cores, Linux %s\", " \
		"\"date\": \"%s\", \"rounds\": %d, \"results\": [", topic, title, cpu, cores,
		kernel, date, n_rounds > json
	width = 10
	for (m = 1; m <= n_metrics; m++)
		if (length(metrics[m] ", " unit[metrics[m]]) > width)
			width = length(metrics[m] ", " unit[metrics[m]])
	for (m = 1; m <= n_metrics; m++) {
		metric = metrics[m]
		for (h = 1; h <= n_hubs; h++) {
			split("", list)
			n = values_of(metric, hubs[h])
			if (!n)
				continue
			spread(n)
			line = sprintf("%-" width "s  %-27s %-26s", h == 1 ? metric ", " unit[metric] : "",
				hubs[h], figure())
			entry = sprintf("{\"metric\": \"%s\", \"unit\": \"%s\", \"better\": \"%s\", " \
				"\"hub\": \"%s\", %s", metric, unit[metric], better[metric], hubs[h],
				figure_json("value"))
			if (h > 1) {
				split("", list)
				n = ratios_of(metric, hubs[h])
				if (n) {
					spread(n)
					line = line sprintf(" %.2f [%.2f..%.2f]", median, low, high)
					entry = entry ", " figure_json("ratio")
				}
			}
			sub(/ +$/, "", line)
			print line
			printf "%s\n  %s}", begun++ ? "," : "", entry > json
		}
	}
	printf "\n]}\n" > json
}

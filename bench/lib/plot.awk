# plot.awk - bench/out/*.json as a picture: awk -f rows.awk -f plot.awk out/hub.json ... > bench.svg
#
# A panel for each topic that was measured, bars for the hubs in groups, each panel with a scale of
# its own; thin lines are smallest and largest. Text and lines follow the reader's dark or light
# background.

BEGIN {
	PANEL_W = 560
	PANEL_H = 250
	GAP = 30
	TOP = 70
	panel_add("hub", "load", "bursts of 64, 2 peers", "inner_bytes", "kpps", "Bursts of 64, 2 peers: thousand packets per second, by size")
	panel_add("hub", "load", "bursts of 4, 50 pairs in turn", "inner_bytes", "kpps", "Bursts of 4, 50 pairs in turn: thousand packets per second")
	panel_add("hub", "load", "bursts of 1, 2 peers", "inner_bytes", "kpps", "Bursts of 1, 2 peers: thousand packets per second")
	panel_add("tun", "unit", "Gbit/s", "metric", "value", "Host to host through TUN devices: Gbit/s")
	panel_add("ping", "unit", "us", "metric", "value", "A lone packet through an idle hub: microseconds, less is better")
	panel_add("handshakes", "unit", "per second", "metric", "value", "Handshakes completed per second, one core")
	panel_add("flood", "unit", "ratio", "metric", "value", "Forwarding kept under 50,000 bad initiations per second")
	panel_add("memory", "unit", "MB", "metric", "value", "Resident memory: MB, less is better")
}

# Rows of the file whose field "key" is "wanted" go there, grouped by their field "by".
function panel_add(file, key, wanted, by, figure, title) {
	n_panels++
	p_file[n_panels] = file
	p_key[n_panels] = key
	p_wanted[n_panels] = wanted
	p_by[n_panels] = by
	p_figure[n_panels] = figure
	p_title[n_panels] = title
}

FNR == 1 {
	file = FILENAME
	sub(/.*\//, "", file)
	sub(/\.json$/, "", file)
	if (machine == "") {
		machine = field($0, "machine")
		date = field($0, "date")
	}
}

/"hub": / {
	for (p = 1; p <= n_panels; p++)
		if (p_file[p] == file && field($0, p_key[p]) == p_wanted[p])
			row_add(p, field($0, p_by[p]), field($0, "hub"))
}

function row_add(p, group, hub) {
	if (!figure_read($0, p_figure[p]))
		return
	if (!(hub in hub_number)) {
		hub_number[hub] = ++n_hubs
		hubs[n_hubs] = hub
	}
	if (!((p, group) in seen)) {
		seen[p, group] = 1
		groups[p, ++n_groups[p]] = group
	}
	value[p, group, hub] = median
	least[p, group, hub] = low
	most[p, group, hub] = high
	if (high > top[p])
		top[p] = high
}

function escape(s) {
	gsub(/&/, "\\&amp;", s)
	gsub(/</, "\\&lt;", s)
	return s
}

function text(x, y, class, s) {
	printf "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">%s</text>\n", x, y, class, escape(s)
}

function bar(p, group, hub, x, w, bottom, height, h, y) {
	h = value[p, group, hub] / top[p] * height
	y = bottom - h
	printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" class=\"h%d\"><title>%s</title></rect>\n",
		x, y, w - 3, h, hub_number[hub], escape(group ", " hub ": " value[p, group, hub])
	printf "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x + w / 2 - 1.5,
		bottom - least[p, group, hub] / top[p] * height, x + w / 2 - 1.5,
		bottom - most[p, group, hub] / top[p] * height
	text(x + w / 2 - 1.5, bottom - most[p, group, hub] / top[p] * height - 5, "v",
		sprintf(digits(value[p, group, hub]), value[p, group, hub]))
}

function panel_draw(p, left, upper, bottom, height, wide, w, g, h, group) {
	bottom = upper + PANEL_H - 40
	height = PANEL_H - 90
	wide = PANEL_W / n_groups[p]
	w = (wide - 20) / n_hubs
	if (w > 50)
		w = 50
	text(left, upper + 12, "t", p_title[p])
	printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", left, bottom, left + PANEL_W, bottom
	for (g = 1; g <= n_groups[p]; g++) {
		group = groups[p, g]
		for (h = 1; h <= n_hubs; h++)
			if ((p, group, hubs[h]) in value)
				bar(p, group, hubs[h], left + (g - 1) * wide + (wide - w * n_hubs) / 2 + (h - 1) * w, w, bottom, height)
		text(left + (g - 0.5) * wide, bottom + 16, "g", p_by[p] == "inner_bytes" ? group " bytes" : group)
	}
}

END {
	for (p = 1; p <= n_panels; p++)
		n_drawn += n_groups[p] > 0
	if (!n_drawn)
		exit 1
	high = TOP + int((n_drawn + 1) / 2) * (PANEL_H + GAP)
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">\n",
		2 * PANEL_W + 3 * GAP, high
	print "<style>text{fill:#222}line{stroke:#222}rect.b{fill:#fff}"
	print ".t{font-weight:bold;font-size:13px}.v,.g{text-anchor:middle}.v{font-size:11px}.g{font-size:10.5px}"
	print ".h1{fill:#3b7dd8}.h2{fill:#e08a2c}.h3{fill:#8a8f98}.h4{fill:#5aa469}"
	print "@media (prefers-color-scheme:dark){text{fill:#ddd}line{stroke:#ddd}rect.b{fill:#161a20}}</style>"
	print "<rect class=\"b\" width=\"100%\" height=\"100%\"/>"
	text(GAP, 26, "t", "wghub " date ", " machine)
	for (h = 1; h <= n_hubs; h++) {
		printf "<rect x=\"%d\" y=\"40\" width=\"12\" height=\"12\" class=\"h%d\"/>\n", GAP + (h - 1) * 230, h
		text(GAP + (h - 1) * 230 + 18, 51, "", hubs[h])
	}
	for (p = 1; p <= n_panels; p++) {
		if (!n_groups[p])
			continue
		panel_draw(p, GAP + (drawn % 2) * (PANEL_W + GAP), TOP + int(drawn / 2) * (PANEL_H + GAP))
		drawn++
	}
	print "</svg>"
}

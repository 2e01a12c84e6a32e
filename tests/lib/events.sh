# events.sh - reading a hub's events in tests; source it.
#
#   said EVENT [MEMBER VALUE]...    how many such lines there are in $events (default $T/events)
#
# Every line must be an object of an event that control/EVENTS.md lists, with the members that it
# lists for it and no others.

said() {
	python3 - "${events:-$T/events}" "$@" <<-'EOT'
		import json, os, re, sys
		path, event, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
		table = {}
		for row in re.findall(r"^\| (`.*?) \| (.*?) \|", open("control/EVENTS.md").read(), re.M):
		    for name in re.findall(r"`(\w+)`", row[0]):
		        table[name] = set(re.findall(r"`(\w+)`", row[1]))
		first = {"time", "event", "interface"}
		n = 0
		for line in open(path) if os.path.exists(path) else []:
		    said = json.loads(line)
		    name = said["event"]
		    assert first <= set(said), line
		    assert name in table, "EVENTS.md does not list " + name
		    unknown = set(said) - first - table[name]
		    assert not unknown, "%s: EVENTS.md does not list %s" % (name, unknown)
		    values = zip(wanted[0::2], wanted[1::2])
		    n += name == event and all(str(said.get(m)) == v for m, v in values)
		print(n)
	EOT
}

package config

// docs says what every key is for. The keys of "defaults" have the texts of those of an app.
var docs = map[string]string{
	"max_workers": "How many sessions may be open at once. While all workers are busy, new connections wait in the " +
		"backlog of the kernel.",
	"engine":        "How bytes are moved between the two sockets of a session. \"copy\" has one goroutine for each direction, \"loop\" one event loop for each processor.",
	"drain_timeout": "How long open sessions may go on after the proxy was told to stop. 0s ends them at once.",
	"log":           "What is logged and how.",
	"log.level":     "Records below this level are dropped. \"warn\" is another word for \"warning\".",
	"log.format": "\"journal\" for the journal of systemd, with fields, \"text\" for people, \"json\" for machines. " +
		"\"auto\" is \"journal\" where the standard error is the journal, else \"text\".",
	"log.sessions": "Whether every session gets a record when it ends.",

	"defaults": "Settings for every app that does not give its own, wherever this stands in the file. An app that gives " +
		"part of an object, such as one key of keepalive, changes that part alone.",

	"apps": "The apps: each is a named set of ports and targets with one policy.",
	"apps[].name": "The name of the app in logs. No other app has it. Without it the name is \"port-\" and the number of " +
		"the first port, or the base name of its path.",
	"apps[].ports": "Where the app listens: a port number on every address, a range of numbers, an IP address with a " +
		"number or a range, the absolute path of a unix socket, or the name of sockets that systemd hands over " +
		"(FileDescriptorName= of a socket unit). \"[::]\" takes IPv4 too, \"0.0.0.0\" takes IPv4 alone. A port that " +
		"systemd already listens on is taken over.",
	"apps[].targets": "Where the sessions go: host:port, the absolute path of a unix socket, or an object.",

	"apps[].targets[].address": "A host name, IPv4 address or bracketed IPv6 address with a port number, or the absolute " +
		"path of a unix socket.",
	"apps[].targets[].weight":       "The share of sessions that the target gets, next to those of the other targets.",
	"apps[].targets[].backup":       "Whether the target takes sessions only while no other target can.",
	"apps[].targets[].max_sessions": "How many sessions the target may have at once. 0 is no limit.",
	"apps[].targets[].down":         "Whether the target takes no sessions at all.",

	"apps[].balance":          "How a target is chosen. \"round_robin\" takes them in turn, by weight.",
	"apps[].connect_timeout":  "How long one attempt to connect to one target may take.",
	"apps[].connect_attempts": "How many targets are tried for one session before the client is reset. 0 tries every target once.",
	"apps[].retry_dead_after": "A target that could not be connected to gets one trial connection after this time. Each " +
		"failed trial doubles it, up to ten times the value.",
	"apps[].idle_timeout":       "Ends a session in which no byte moved either way for this long. 0s is never.",
	"apps[].half_close_timeout": "Ends a session in which one side has finished and no byte moved for this long. 0s is never.",
	"apps[].keepalive": "TCP keepalive on both sockets of a session, see tcp(7). true is on, false is off, and an object is " +
		"on with its figures.",
	"apps[].keepalive.idle":     "The time without traffic before the first keepalive probe.",
	"apps[].keepalive.interval": "The time between two keepalive probes.",
	"apps[].keepalive.count":    "How many unanswered keepalive probes end the session.",
}

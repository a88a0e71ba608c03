package config

// docs says what every key is for. The keys of "defaults" have the texts of those of an app.
var docs = map[string]string{
	"max_workers": "How many sessions may be open at once. While all workers are busy, new connections wait in the " +
		"backlog of the kernel.",
	"engine":        "What moves the bytes between the two sockets of a session: \"loop\" is one event loop for each processor, \"copy\" one goroutine for each direction, slower and the reference for how both behave.",
	"drain_timeout": "How long open sessions may go on after the proxy was told to stop. 0s ends them at once.",
	"reload": "What brings a change of the file into force. \"signal\" is an order alone: SIGHUP, or \"tcp-proxy reload\". " +
		"\"auto\" is also the change itself.",
	"log":       "What is logged and how.",
	"log.level": "Records below this level are dropped. \"warn\" is another word for \"warning\".",
	"log.format": "\"journal\" for the journal of systemd, with fields, \"text\" for people, \"json\" for machines. " +
		"\"auto\" is \"journal\" where the standard error is the journal, else \"text\".",
	"log.sessions": "Whether a session gets a record when it ends. A number is one record for so many sessions that end well. Those that end otherwise have theirs, up to 20 in a second for each app and cause, 500 in all; of more, the last one in a second has, and its field left_out says how many had none. At the level \"debug\" all have.",

	"admin": "Where the proxy can be looked at and told what to do, over HTTP.",
	"admin.listen": "The absolute path of a unix socket, which its owner and group can use, or an IP address with a port number, " +
		"where everything can be seen and nothing changed. A port number alone is refused. Without any there is no admin API.",

	"defaults": "Settings for every app that does not give its own, wherever this stands in the file. An app that gives " +
		"part of an object, such as one key of keepalive, changes that part alone; a list stands for the whole list.",

	"apps": "The apps: each is a named set of ports and targets with one policy.",
	"apps[].name": "The name of the app in logs. No other app has it. Without it the name is \"port-\" and the number of " +
		"the first port, or the base name of its path.",
	"apps[].ports": "Where the app listens: a port number on every address, a range of numbers, an IP address with a " +
		"number or a range, the absolute path of a unix socket, or the name of sockets that systemd hands over " +
		"(FileDescriptorName= of a socket unit). \"[::]\" takes IPv4 too, \"0.0.0.0\" takes IPv4 alone. A port that " +
		"systemd already listens on is taken over.",
	"apps[].targets": "Where the sessions go: host:port, the absolute path of a unix socket, the name of SRV records, or an " +
		"object.",

	"apps[].targets[].address": "A host name, IPv4 address or bracketed IPv6 address with a port number, the absolute path " +
		"of a unix socket, or the name of SRV records, which give hosts, ports, weights and priorities. Names are looked up " +
		"again as their answers run out, and each of their addresses is a target of its own.",
	"apps[].targets[].weight": "The share of sessions that the target gets, next to those of the other targets. The weights of " +
		"SRV records stand instead of it, unless they are 0.",
	"apps[].targets[].backup": "Whether the target takes sessions only while no other target can.",
	"apps[].targets[].max_sessions": "How many sessions the target may have at once; of a name, each of its addresses. 0 is no " +
		"limit. While all targets are full, a new session waits for a place, no longer than connect_timeout.",
	"apps[].targets[].down": "Whether the target takes no sessions at all.",

	"apps[].balance": "How a target is chosen. \"round_robin\" takes them in turn, by weight; \"least_sessions\" the one with " +
		"the fewest open sessions for its weight; \"random\" the less busy of two that are drawn by weight; \"source_hash\" the " +
		"one that the client's address stands for, the same on every node; \"first\" the first in the order of the file that " +
		"can take the session; \"nearest\" the one that connects fastest.",
	"apps[].connect_timeout":  "How long one attempt to connect to one target may take.",
	"apps[].connect_attempts": "How many targets are tried for one session before the client is reset. 0 tries every target once.",
	"apps[].retry_dead_after": "Without probes, a target that could not be connected to gets one trial connection after this " +
		"time. Each failed trial doubles it, up to ten times the value.",
	"apps[].idle_timeout":         "Ends a session in which no byte moved either way for this long. 0s is never.",
	"apps[].half_close_timeout":   "Ends a session in which one side has finished and no byte moved for this long. 0s is never.",
	"apps[].max_session_duration": "Ends a session after this time, whatever it does. 0s is never.",
	"apps[].keepalive": "TCP keepalive on both sockets of a session, see tcp(7). true is on, false is off, and an object is " +
		"on with its figures.",
	"apps[].keepalive.idle":     "The time without traffic before the first keepalive probe.",
	"apps[].keepalive.interval": "The time between two keepalive probes.",
	"apps[].keepalive.count":    "How many unanswered keepalive probes end the session.",

	"apps[].allow": "The networks that clients may come from; one address is a network too. Everybody else is refused with a " +
		"reset. Without any, everybody may come in.",
	"apps[].deny":         "The networks that clients may not come from, also if they are allowed.",
	"apps[].max_sessions": "How many sessions the app may have open at once. Further ones are refused with a reset. 0 is no limit.",
	"apps[].max_sessions_per_source": "The same for one client: an IPv4 address, or an IPv6 network of 64 bits. 0 is no limit. " +
		"Clients of unix sockets have no such limit.",
	"apps[].sessions_per_second": "How many sessions a second the app takes. Further ones are refused with a reset. 0 is no limit.",
	"apps[].sessions_per_second_per_source": "The same for one client: an IPv4 address, or an IPv6 network of 64 bits. 0 is no " +
		"limit. Clients of unix sockets have no such limit.",

	"apps[].bytes_per_second":          "How fast one session may go.",
	"apps[].bytes_per_second.upload":   "Bytes a second from the client to the target. 0 is no limit.",
	"apps[].bytes_per_second.download": "Bytes a second from the target to the client. 0 is no limit.",

	"apps[].accept_proxy_protocol": "Whether connections begin with a header of the PROXY protocol, version 1 or 2, that names " +
		"the client. false is no; an object says from whom.",
	"apps[].accept_proxy_protocol.from": "The networks of the proxies in front, which have to send a header; without one their " +
		"connections are refused. Connections from elsewhere are taken as they are, and a header in them is data. An object " +
		"has to have this, here or in the defaults.",
	"apps[].accept_proxy_protocol.timeout": "How long the header may take to arrive.",
	"apps[].send_proxy_protocol": "Which version of the PROXY protocol a target is sent a header of, before the client's bytes: " +
		"\"v1\" is text, \"v2\" is binary, and \"\" sends none.",
	"apps[].source_address": "The local IP address that targets are connected to and probed from. \"\" leaves it to the kernel. " +
		"Targets with an IP address have to be of its family.",

	"apps[].probe": "How targets are checked.",
	"apps[].probe.when": "\"dead\" checks a target from when a connection to it failed until it is back; \"always\" checks all " +
		"targets all the time, and takes those that fail out of turn; \"never\" leaves it to trial connections, see " +
		"retry_dead_after.",
	"apps[].probe.interval": "The time from one check of a target to the next, give or take a tenth.",
	"apps[].probe.timeout": "How long one check may take, from connecting to the answer. It may be longer than the interval: a " +
		"target has one check at a time.",
	"apps[].probe.rise": "How many checks in a row have to succeed before a dead target is back.",
	"apps[].probe.fall": "How many checks in a row have to fail before a target is dead.",
	"apps[].probe.port": "The port to check instead of the target's own, at the same address. 0 is the target's own. Unix sockets " +
		"are always checked at their path.",
	"apps[].probe.send": "What a check sends once it is connected. Beside the escapes of JSON, \\xNN is the byte with that " +
		"hexadecimal number and \\\\ a backslash; in the file, where JSON wants backslashes twice, they are written " +
		"\"\\\\x00\" and \"\\\\\\\\\".",
	"apps[].probe.expect": "What the answer to a check begins with, written as in send. With \"\" a target that can be connected to " +
		"is in order.",
	"apps[].probe.http": "Whether a check is an HTTP request, GET, whose answer has to have one of some statuses. It stands instead " +
		"of send and expect. false is no.",
	"apps[].probe.http.path":   "What is asked for.",
	"apps[].probe.http.status": "The status that a target in order answers with, or a range of them, both ends included.",
	"apps[].on_dead": "What becomes of the open sessions of a target that a check finds dead. \"keep\" lets them go on, \"close\" " +
		"ends them with a reset; it needs probe.when \"always\".",
}

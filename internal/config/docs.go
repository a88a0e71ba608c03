package config

// docs are the descriptions of all keys. The keys of "defaults" share those of an app.
var docs = map[string]string{
	"max_workers": "How many sessions may be open at once. While all workers are busy, new connections wait in the " +
		"kernel's backlog.",
	"engine": "How bytes are copied between the two sockets of a session. \"loop\" runs one event loop for each processor. " +
		"\"copy\" runs one goroutine for each direction; it is slower, and is the reference for the behaviour of both.",
	"drain_timeout": "How long open sessions may go on after the proxy was asked to stop. 0s ends them at once.",
	"reload": "When the proxy re-reads its configuration. \"signal\": on SIGHUP or \"tcp-proxy reload\". " +
		"\"auto\": also when its file changes, or a file of its directory.",
	"log": "What is logged, and in which format.",
	"log.level": "Entries below this level are dropped. \"warn\" is an alias of \"warning\". \"tcp-proxy log-level\" sets another level " +
		"in a running proxy for a while.",
	"log.format": "\"journal\" writes to the systemd journal, with fields; \"text\" is for people, \"json\" for programs. " +
		"\"auto\" is \"journal\" if standard error is connected to the journal, else \"text\".",
	"log.sessions": "Whether each session is logged when it ends. A number N logs one in N sessions that end normally; failures " +
		"are always logged, up to 20 a second for each app and cause, and 500 a second in all. Beyond that, the last one of each " +
		"second is logged, and its field left_out is the number left out. At the level \"debug\" all failures are logged.",

	"admin": "The HTTP API for status, metrics and actions.",
	"admin.listen": "Where the admin API listens: the absolute path of a unix socket, which its owner and group can use, or an IP " +
		"address with a port number, which is read-only. A port number alone is refused. Without any address there is no admin API.",

	"defaults": "Settings for every app that does not set its own, wherever this key stands, also in another file of a directory. An app that sets " +
		"part of an object, such as one key of keepalive, changes only that part; a list replaces the whole list.",

	"apps": "The apps. Each is a named set of ports and targets with one policy.",
	"apps[].name": "The name of the app, used in logs, metrics and commands. It must be unique. The default is \"port-\" and the " +
		"number of the first port, or the base name of its path.",
	"apps[].ports": "Where the app listens: a port number on every address, a range of numbers, an IP address with a " +
		"number or a range, the absolute path of a unix socket, or the name of sockets passed by systemd " +
		"(FileDescriptorName= of a socket unit). \"[::]\" accepts IPv4 too, \"0.0.0.0\" only IPv4. A port that " +
		"systemd already listens on is taken over.",
	"apps[].targets": "Where the sessions go: host:port, the absolute path of a unix socket, the name of SRV records, or an " +
		"object.",

	"apps[].targets[].address": "A host name, IPv4 address or bracketed IPv6 address with a port number, the absolute path " +
		"of a unix socket, or the name of SRV records, which supply hosts, ports, weights and priorities. A name is looked up " +
		"again when its answer expires, and each of its addresses is a target of its own.",
	"apps[].targets[].weight": "The share of sessions that the target gets, relative to the other targets. The weights of " +
		"SRV records override it, unless they are 0.",
	"apps[].targets[].backup": "Whether the target gets sessions only while no other target can take them.",
	"apps[].targets[].max_sessions": "How many sessions the target may have at once; for a name, each of its addresses. 0 is no " +
		"limit. While all targets are full, a new session waits, up to connect_timeout.",
	"apps[].targets[].down": "Whether the target is out of service and gets no sessions.",

	"apps[].balance": "How a target is chosen. \"round_robin\": in turn, by weight. \"least_sessions\": the one with " +
		"the fewest open sessions relative to its weight. \"random\": the less loaded of two drawn by weight. \"source_hash\": by a " +
		"hash of the client's address, the same on every node. \"first\": the first one in the file that " +
		"can take the session. \"nearest\": the one that connects fastest.",
	"apps[].connect_timeout":  "How long one attempt to connect to one target may take.",
	"apps[].connect_attempts": "How many targets are tried for one session before the client is reset. 0 tries every target once.",
	"apps[].retry_dead_after": "Without probes, how long a dead target waits for its half-open trial, one session that tries to connect. " +
		"Each failed trial doubles the time, up to ten times the value.",
	"apps[].idle_timeout":         "Ends a session in which no byte moved in either direction for this long. 0s is never.",
	"apps[].half_close_timeout":   "Ends a session in which one side has finished and no byte moved for this long. 0s is never.",
	"apps[].max_session_duration": "Ends a session after this time, even if it is busy. 0s is never.",
	"apps[].keepalive": "TCP keepalive on both sockets of a session, see tcp(7). true turns it on, false off; an object turns it " +
		"on with the given values.",
	"apps[].keepalive.idle":     "The time without traffic before the first keepalive probe.",
	"apps[].keepalive.interval": "The time between two keepalive probes.",
	"apps[].keepalive.count":    "How many unanswered keepalive probes end the session.",

	"apps[].allow": "The networks from which clients may connect; one address is a network too. Other clients are refused with a " +
		"reset. An empty list allows every client.",
	"apps[].deny":         "The networks from which clients may not connect, even if allow contains them.",
	"apps[].max_sessions": "How many sessions the app may have open at once. Further sessions are refused with a reset. 0 is no limit.",
	"apps[].max_sessions_per_source": "The same for one source: an IPv4 address, or an IPv6 /64 network. 0 is no limit. " +
		"Does not apply to clients of unix sockets.",
	"apps[].sessions_per_second": "How many sessions a second the app accepts. Further sessions are refused with a reset. 0 is no limit.",
	"apps[].sessions_per_second_per_source": "The same for one source: an IPv4 address, or an IPv6 /64 network. 0 is no " +
		"limit. Does not apply to clients of unix sockets.",

	"apps[].bytes_per_second":          "The bandwidth of one session.",
	"apps[].bytes_per_second.upload":   "Bytes a second from the client to the target. 0 is no limit.",
	"apps[].bytes_per_second.download": "Bytes a second from the target to the client. 0 is no limit.",

	"apps[].accept_proxy_protocol": "Whether connections begin with a PROXY protocol header, version 1 or 2, that names " +
		"the client. false is no; an object says which peers send it.",
	"apps[].accept_proxy_protocol.from": "The networks of the proxies in front, which must send a header; their connections " +
		"without one are refused. Connections from elsewhere are accepted without a header, and a header in them is data. " +
		"Required in the object, here or in the defaults.",
	"apps[].accept_proxy_protocol.timeout": "How long the header may take to arrive.",
	"apps[].send_proxy_protocol": "The version of the PROXY protocol header that is sent to a target before the client's bytes: " +
		"\"v1\" is text, \"v2\" is binary, and \"\" sends none. A probe begins with a header that names no client; a probe that only connects, or " +
		"has a port of its own, sends none.",
	"apps[].source_address": "The local IP address from which targets are connected to and probed. \"\" lets the kernel choose. " +
		"Targets with an IP address must be of the same family.",

	"apps[].probe": "How targets are probed.",
	"apps[].probe.when": "\"dead\" probes a target after a connection to it failed, until it is alive again. \"always\" probes all " +
		"targets all the time, and takes those that fail out of rotation. \"never\" sends no probes and relies on " +
		"half-open trials, see retry_dead_after.",
	"apps[].probe.interval": "The time from one probe of a target to the next, varied at random by up to a tenth.",
	"apps[].probe.timeout": "How long one probe may take, from the connect to the answer. It may be longer than the interval: a " +
		"target has one probe at a time.",
	"apps[].probe.rise": "How many probes in a row must succeed before a dead target is alive again.",
	"apps[].probe.fall": "How many probes in a row must fail before a target is dead.",
	"apps[].probe.port": "The port to probe instead of the target's own, at the same address. 0 is the target's own port. Unix sockets " +
		"are always probed at their path.",
	"apps[].probe.send": "What a probe sends after it has connected. In addition to the escapes of JSON, \\xNN is the byte with that " +
		"hexadecimal number and \\\\ a backslash; in the file, where JSON needs each backslash twice, write " +
		"\"\\\\x00\" and \"\\\\\\\\\".",
	"apps[].probe.expect": "What the answer to a probe must begin with, written as in send. With \"\" a probe passes once it " +
		"has connected.",
	"apps[].probe.http": "Whether a probe is an HTTP GET request that is judged by the status of its response. It replaces send " +
		"and expect. false is no.",
	"apps[].probe.http.path":   "The path of the request.",
	"apps[].probe.http.status": "The expected status, or a range of them, both ends included.",
	"apps[].on_dead": "What happens to the open sessions of a target that a probe finds dead. \"keep\" lets them go on, \"close\" " +
		"ends them with a reset; this needs probe.when \"always\".",
}

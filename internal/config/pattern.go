package config

// The patterns express as much of the parsers' rules as a regular expression can, in the common subset of Go and of
// ECMA-262, which JSON Schema uses. No pattern refuses what its parser accepts.
const (
	numberPattern  = `([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])`
	octetPattern   = `([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])`
	ipv4Pattern    = octetPattern + `(\.` + octetPattern + `){3}`
	ipv6Pattern    = `\[[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[^\]]+)?\]`
	labelPattern   = `[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?`
	hostPattern    = labelPattern + `(\.` + labelPattern + `)*\.?`
	underPattern   = `_[A-Za-z0-9_-]{0,61}[A-Za-z0-9_]`
	servicePattern = underPattern + `\.` + underPattern + `\.` + hostPattern
	unixPattern    = `unix:/[^\x00-\x1f\x7f]{0,105}[^\x00-\x1f\x7f/]`

	bareIPv6Pattern = `[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*`

	socketNamePattern = `[\x20-\x39\x3b-\x7e]{1,255}`

	portPattern     = `^(((` + ipv4Pattern + `|` + ipv6Pattern + `)?:)?` + numberPattern + `(-` + numberPattern + `)?|` + unixPattern + `|systemd:` + socketNamePattern + `)$`
	addressPattern  = `^((` + hostPattern + `|` + ipv6Pattern + `):` + numberPattern + `|` + unixPattern + `|srv:` + servicePattern + `)$`
	adminPattern    = `^((` + ipv4Pattern + `|` + ipv6Pattern + `):` + numberPattern + `|` + unixPattern + `)$`
	networkPattern  = `^(` + ipv4Pattern + `(/([0-9]|[12][0-9]|3[0-2]))?|` + bareIPv6Pattern + `(/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?)$`
	sourcePattern   = `^(` + ipv4Pattern + `|` + bareIPv6Pattern + `(%[^\]]+)?)?$`
	bytesPattern    = `^([^\\]|\\\\|\\x[0-9A-Fa-f]{2})*$`
	pathPattern     = `^/[\x21\x22\x24-\x7e]{0,999}$`
	statusPattern   = `^[1-5][0-9]{2}(-[1-5][0-9]{2})?$`
	namePattern     = `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`
	durationPattern = `^[+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
)

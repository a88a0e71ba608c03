package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tailscale/hujson"
)

// decoder converts a syntax tree to Go values. It collects problems and continues: a bad value leaves its destination
// unchanged, and the configuration is discarded in the end.
type decoder struct {
	files    *files
	problems problems
	guesses  int       // how many keys were unknown
	defaults *Settings // what an app starts from; complete before the first app is decoded
	badApps  bool      // merge has found no apps, and has reported why
}

// node is a value in the file, with its path.
type node struct {
	*hujson.Value
	path string
}

func (n node) element(i int, v *hujson.Value) node {
	return node{v, n.path + "[" + strconv.Itoa(i) + "]"}
}

func (n node) member(key string, v *hujson.Value) node {
	if n.path != "" {
		key = n.path + "." + key
	}
	return node{v, key}
}

// report records a problem with the value n. If an argument is expensive to format, pass a Stringer: it is not called for
// problems that are not kept.
func (d *decoder) report(n node, format string, args ...any) {
	if d.problems.keep(n.StartOffset) {
		d.problems.add(problem{n.StartOffset, n.path, fmt.Sprintf(format, args...)})
	}
}

// refer returns the path and the place of another value, as an argument of report about n.
func (d *decoder) refer(other, n node) fmt.Stringer {
	return reference{d.files, other.path, other.StartOffset, n.StartOffset}
}

// placeOf returns only the place.
func (d *decoder) placeOf(other, n node) fmt.Stringer {
	return reference{d.files, "", other.StartOffset, n.StartOffset}
}

func (d *decoder) reportType(n node, want string) {
	d.report(n, "must be %s, not %s", want, kindOf(n))
}

// kindOf returns the type of a value as text, with true and false told apart.
func kindOf(n node) string {
	switch n.Value.Value.Kind() {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	default:
		return string(n.Value.Value.(hujson.Literal)) // true, false, null
	}
}

// decode decodes n into the destination, by its type.
func (d *decoder) decode(n node, into any, r rule) {
	switch into := into.(type) {
	case *bool:
		d.bool(n, into)
	case *int:
		d.int(n, into, r)
	case *string:
		if len(r.enum) > 0 {
			d.enum(n, into, r)
		} else {
			d.bytes(n, into, r)
		}
	case *time.Duration:
		d.duration(n, into, r)
	case *name:
		d.name(n, into)
	case *Address:
		d.address(n, into)
	case *Keepalive:
		d.keepalive(n, into)
	case *OneIn:
		d.oneIn(n, into, r)
	case *Networks:
		d.networks(n, into, r)
	case *netip.Addr:
		d.sourceAddress(n, into)
	case *AcceptProxyProtocol:
		d.acceptProxyProtocol(n, into)
	case *Probe:
		d.probe(n, into)
	case *HTTPProbe:
		d.httpProbe(n, into)
	case *httpPath:
		d.httpPath(n, into)
	case *statuses:
		d.statuses(n, into)
	case *[]adminSocket:
		*into = d.adminSockets(n)
	case *[]app:
		*into = d.apps(n)
	case *[]portRange:
		*into = d.ports(n)
	case *[]Target:
		*into = d.targets(n)
	default:
		d.object(n, into)
	}
}

// object decodes the members of n into a struct, in the order of its fields. It returns the keys of n, also misspelled ones
// and those with bad values.
func (d *decoder) object(n node, into any) (given []string, ok bool) {
	object, ok := n.Value.Value.(*hujson.Object)
	if !ok {
		d.reportType(n, "an object")
		return nil, false
	}
	target := reflect.ValueOf(into).Elem()
	known := fields[target.Type()]
	members := make([]*hujson.ObjectMember, len(known))
	for i := range object.Members {
		m := &object.Members[i]
		key := text(&m.Name)
		f := slices.IndexFunc(known, func(f field) bool { return sameKey(key, f.key) })
		switch {
		case f < 0:
			if suggestion := d.unknown(n, m, key, known); suggestion != "" {
				given = append(given, suggestion)
			}
		case members[f] != nil:
			d.reportDuplicate(node{&m.Name, n.path}, node{Value: &members[f].Name})
		default:
			members[f] = m
			given = append(given, known[f].key)
		}
	}
	for i, m := range members {
		if m != nil {
			f := known[i]
			d.decode(n.member(f.key, &m.Value), target.FieldByIndex(f.index).Addr().Interface(), f.rule)
		}
	}
	return given, true
}

// reportDuplicate reports a key that an object has already.
func (d *decoder) reportDuplicate(name, first node) {
	d.report(name, "duplicate key %s: %s is already at %v", quote(text(name.Value)), quote(text(first.Value)), d.placeOf(first, name))
}

// unknown reports an unknown key, and returns the known key of which it may be a misspelling, or "".
func (d *decoder) unknown(n node, m *hujson.ObjectMember, key string, known []field) (suggestion string) {
	hint := ""
	if d.guesses++; d.guesses <= maxSuggestions {
		suggestion = nearest(key, known)
	}
	if suggestion != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", suggestion)
	}
	d.report(node{&m.Name, n.path}, "unknown key %s%s", quote(key), hint)
	return suggestion
}

// maxSuggestions bounds the work for a file with many unknown keys.
const maxSuggestions = 10 * MaxErrors

func has(given []string, key string) bool {
	return slices.Contains(given, key)
}

// array returns the elements of n, at most limit.
func (d *decoder) array(n node, limit int, what string) ([]node, bool) {
	array, ok := n.Value.Value.(*hujson.Array)
	if !ok {
		d.reportType(n, "an array")
		return nil, false
	}
	if len(array.Elements) > limit {
		d.report(n, "has %d %s: the limit is %d", len(array.Elements), what, limit)
	}
	nodes := make([]node, min(len(array.Elements), limit))
	for i := range nodes {
		nodes[i] = n.element(i, &array.Elements[i])
	}
	return nodes, true
}

// string returns the value of a string.
func (d *decoder) string(n node) (string, bool) {
	if kindOf(n) != "a string" {
		d.reportType(n, "a string")
		return "", false
	}
	return text(n.Value), true
}

func (d *decoder) bool(n node, b *bool) {
	switch kind := kindOf(n); kind {
	case "true", "false":
		*b = kind == "true"
	default:
		d.reportType(n, "true or false")
	}
}

func (d *decoder) int(n node, i *int, r rule) {
	if kindOf(n) != "a number" {
		d.reportType(n, "a number")
		return
	}
	number := string(n.Value.Value.(hujson.Literal))
	if strings.ContainsAny(number, ".eE") {
		d.report(n, "must be a whole number without fraction or exponent, not %s", shorten(number))
		return
	}
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !r.allows(value) {
		hint := ""
		if err == nil && value == 0 {
			hint = r.zeroHint
		}
		d.report(n, "must be %s, not %s%s", r.mustBe(), shorten(number), hint)
		return
	}
	*i = int(value)
}

func (d *decoder) oneIn(n node, into *OneIn, r rule) {
	switch kindOf(n) {
	case "true":
		*into = 1
	case "false":
		*into = 0
	case "a number":
		d.int(n, (*int)(into), r)
	default:
		d.reportType(n, "true, false or a number")
	}
}

func (d *decoder) enum(n node, s *string, r rule) {
	given, ok := d.string(n)
	if !ok {
		return
	}
	value, ok := r.choice(given)
	if !ok {
		d.report(n, "must be %s, not %s", r.enumText(), quote(given))
		return
	}
	*s = value
}

func (d *decoder) duration(n node, t *time.Duration, r rule) {
	if kindOf(n) == "a number" {
		number := string(n.Value.Value.(hujson.Literal))
		d.report(n, `must be a duration such as "5s", not a number%s`, durationHint(number, r))
		return
	}
	if kindOf(n) != "a string" {
		d.reportType(n, `a duration such as "5s"`)
		return
	}
	given := text(n.Value)
	value, err := time.ParseDuration(given)
	switch {
	case err != nil && !durationForm.MatchString(strings.TrimPrefix(given, "-")):
		d.report(n, `must be a duration such as "250ms", "5s" or "1h30m", not %s%s`, quote(given), durationHint(given, r))
	case err != nil || given[0] == '-' || !r.allows(int64(value)): // an error of a duration in form: it is too long
		d.report(n, "must be %s, not %s", r.mustBe(), quote(given))
	default:
		*t = value
	}
}

var durationForm = regexp.MustCompile(durationPattern)

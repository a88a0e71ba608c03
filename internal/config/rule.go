package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a key of an object in the file, with the struct field that it sets.
type field struct {
	key   string
	index []int // for reflect's FieldByIndex
	kind  reflect.Type
	rule  rule
}

// rule is which values a key takes. It comes from the tags of the struct field.
type rule struct {
	min, max  string            // tags min and max: both or none, inclusive, a whole number or a duration
	low, high int64             // min and max as numbers: durations in nanoseconds, strings in bytes, lists in elements
	unit      time.Duration     // tag unit: a duration is a multiple of this
	zeroHint  string            // tag zero: the end of the error message for 0
	enum      []string          // tag enum: the values, with commas
	alias     map[string]string // tag alias: other=value; other is accepted for value
}

// fields are the keys of each object in the file, in the order of its struct.
var fields = map[reflect.Type][]field{}

func init() {
	for _, t := range []reflect.Type{
		reflect.TypeFor[document](), reflect.TypeFor[Log](), reflect.TypeFor[admin](), reflect.TypeFor[Settings](),
		reflect.TypeFor[Keepalive](), reflect.TypeFor[BytesPerSecond](), reflect.TypeFor[AcceptProxyProtocol](),
		reflect.TypeFor[Probe](), reflect.TypeFor[httpProbe](), reflect.TypeFor[app](), reflect.TypeFor[Target](),
	} {
		for _, f := range reflect.VisibleFields(t) {
			if key := f.Tag.Get("json"); key != "" {
				fields[t] = append(fields[t], field{key, f.Index, f.Type, newRule(f)})
			}
		}
	}
}

// newRule parses the tags of a field. It panics if they are invalid, which is a bug in this package.
func newRule(f reflect.StructField) rule {
	r := rule{min: f.Tag.Get("min"), max: f.Tag.Get("max"), zeroHint: f.Tag.Get("zero")}
	if r.min != "" {
		r.low, r.high = limit(f, r.min), limit(f, r.max)
	}
	if unit := f.Tag.Get("unit"); unit != "" {
		r.unit = time.Duration(limit(f, unit))
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		r.enum = strings.Split(enum, ",")
	}
	if alias := f.Tag.Get("alias"); alias != "" {
		other, value, _ := strings.Cut(alias, "=")
		r.alias = map[string]string{other: value}
	}
	return r
}

func limit(f reflect.StructField, tag string) int64 {
	if f.Type == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(tag)
		if err != nil {
			panic(fmt.Sprintf("field %s: %v", f.Name, err))
		}
		return int64(d)
	}
	n, err := strconv.ParseInt(tag, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("field %s: %v", f.Name, err))
	}
	return n
}

// allows reports whether the rule allows a number, or a duration in nanoseconds.
func (r rule) allows(n int64) bool {
	return n >= r.low && n <= r.high && (r.unit == 0 || n%int64(r.unit) == 0)
}

// rangeText returns the allowed numbers or durations as text, such as "1 to 256"; "" if there is no range.
func (r rule) rangeText() string {
	switch {
	case r.min == "":
		return ""
	case r.unit != 0:
		return fmt.Sprintf("%s to %s in steps of %s", r.min, r.max, r.unit)
	default:
		return r.min + " to " + r.max
	}
}

// mustBe returns the same to follow "must be".
func (r rule) mustBe() string {
	return "from " + r.rangeText()
}

// choice returns the value of the enumeration for s, which may be an alias.
func (r rule) choice(s string) (string, bool) {
	if value, ok := r.alias[s]; ok {
		return value, true
	}
	return s, slices.Contains(r.enum, s)
}

// enumText returns the values of the enumeration as text: "a", "b" or "c".
func (r rule) enumText() string {
	quoted := make([]string, len(r.enum))
	for i, value := range r.enum {
		quoted[i] = strconv.Quote(value)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

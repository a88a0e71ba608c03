package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Override sets a key with a string or number, such as "max_workers" or "log.level", to a value that does not come from the
// file. The rule of the key applies; if the value breaks it, the error says how and c is unchanged.
func (c *Config) Override(path, value string) error {
	f, to := find(reflect.ValueOf(c).Elem(), reflect.TypeFor[document](), path)
	switch f.kind.Kind() {
	case reflect.String:
		word, ok := f.rule.choice(value)
		if !ok {
			return fmt.Errorf("must be %s, not %q", f.rule.enumText(), value)
		}
		to.SetString(word)
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrSyntax):
			return fmt.Errorf("must be a whole number, %s, not %s", f.rule.rangeText(), quote(value))
		case err != nil || !f.rule.allows(n):
			return fmt.Errorf("must be %s, not %s", f.rule.mustBe(), quote(value))
		}
		to.SetInt(n)
	default:
		panic("override of " + path)
	}
	c.overrides = append(c.overrides, Overridden{path, value})
	return nil
}

// Words returns the values that a key takes, if they are a list of words.
func Words(path string) []string {
	c := Default()
	f, _ := find(reflect.ValueOf(&c).Elem(), reflect.TypeFor[document](), path)
	return slices.Clone(f.rule.enum)
}

// find returns the field of a key, and the value in v, which is a Config or a part of one. It panics if there is no such
// key.
func find(v reflect.Value, object reflect.Type, path string) (field, reflect.Value) {
	key, rest, deeper := strings.Cut(path, ".")
	for _, f := range fields[object] {
		if f.key != key {
			continue
		}
		index := f.index
		if object == reflect.TypeFor[document]() {
			index = index[1:] // document embeds Config
		}
		to := v.FieldByIndex(index)
		if deeper {
			return find(to, f.kind, rest)
		}
		return f, to
	}
	panic("no key " + path)
}

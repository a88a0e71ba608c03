package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Key describes a key of a configuration file.
type Key struct {
	Path     string // such as max_workers or apps[].keepalive.idle; [] is any element
	Type     string // in words
	Default  string // as in the file; empty if the key is required, or if Doc has it
	Range    string // the allowed values in words; empty if Type says it all
	Doc      string // its purpose, in sentences
	Required bool
}

// Keys describes all keys of a configuration file, each after the one that contains it.
func Keys() []Key {
	var keys []Key
	var add func([]entry)
	add = func(entries []entry) {
		for _, e := range entries {
			keys = append(keys, Key{e.path, e.typeText(), e.defaultText(), e.valuesText(), e.doc(), e.required()})
			add(e.children)
		}
	}
	add(entries())
	return keys
}

// entry is a key with its path, its built-in default, and the keys of the object, or of each object in the list, that it
// holds.
type entry struct {
	field
	path     string
	value    any
	children []entry
}

// entries returns the keys of the document, from which Keys and Schema are made.
func entries() []entry {
	doc := newDocument()
	doc.Defaults.Probe.HTTP = DefaultHTTPProbe()
	doc.Apps = []app{{Settings: doc.Defaults, Targets: []Target{DefaultTarget()}}}
	return entriesOf("", reflect.ValueOf(doc))
}

func entriesOf(prefix string, object reflect.Value) []entry {
	var list []entry
	for _, f := range fields[object.Type()] {
		v := object.FieldByIndex(f.index)
		e := entry{field: f, path: prefix + f.key, value: v.Interface()}
		inner, within := v, e.path+"."
		if v.Kind() == reflect.Slice && v.Len() > 0 {
			inner, within = v.Index(0), e.path+"[]."
		}
		if h, ok := e.value.(HTTPProbe); ok {
			inner = reflect.ValueOf(h.document())
		}
		if inner.Kind() == reflect.Struct {
			e.children = entriesOf(within, inner)
		}
		list = append(list, e)
	}
	return list
}

// requiredKeys are the keys that the decoder requires.
var requiredKeys = []string{"apps", "apps[].ports", "apps[].targets", "apps[].targets[].address"}

func (e entry) required() bool {
	return slices.Contains(requiredKeys, e.path)
}

func (e entry) doc() string {
	if setting, ok := strings.CutPrefix(e.path, "defaults."); ok {
		return docs["apps[]."+setting]
	}
	return docs[e.path]
}

func (e entry) typeText() string {
	switch e.value.(type) {
	case bool:
		return "true or false"
	case int:
		return "whole number"
	case string, name, httpPath, statuses:
		return "string"
	case time.Duration:
		return "duration"
	case Address:
		return "address"
	case netip.Addr:
		return "IP address"
	case Keepalive:
		return "true, false or object"
	case OneIn:
		return "true, false or whole number"
	case AcceptProxyProtocol, HTTPProbe:
		return "false or object"
	case Networks:
		return "list of networks"
	case []adminSocket:
		return "list of addresses"
	case []portRange:
		return "list of ports"
	case []Target:
		return "list of addresses and objects"
	case []app:
		return "list of objects"
	default:
		return "object"
	}
}

func (e entry) valuesText() string {
	switch e.value.(type) {
	case name:
		return nameText
	case Address, []Target:
		return addressForms
	case []portRange:
		return portForms
	case []adminSocket:
		return adminForms
	case Networks:
		return networkForms
	case netip.Addr:
		return sourceForms
	case httpPath:
		return httpPathText
	case statuses:
		return statusForms
	case string:
		if len(e.rule.enum) > 0 {
			return e.rule.enumText()
		}
		return e.rule.rangeText() + " bytes"
	}
	return e.rule.rangeText()
}

func (e entry) defaultText() string {
	switch v := e.defaultValue().(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	default:
		return fmt.Sprint(v)
	}
}

// defaultValue returns the built-in default as in JSON, and nil for a key without one.
func (e entry) defaultValue() any {
	switch v := e.value.(type) {
	case bool, int, string:
		return v
	case time.Duration:
		return FormatDuration(v)
	case httpPath:
		return string(v)
	case statuses:
		return v.String()
	case netip.Addr:
		return "" // the zero Addr
	case Keepalive:
		return v.Enabled
	case OneIn:
		return v > 0
	case AcceptProxyProtocol, HTTPProbe:
		return false
	case Networks, []adminSocket:
		if e.rule.low == 0 {
			return []string{}
		}
		return nil
	default:
		return nil
	}
}

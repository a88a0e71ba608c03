package config

import (
	"path"
	"regexp"
	"strconv"
)

var nameForm = regexp.MustCompile(namePattern)

const nameText = `1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-", the first a letter or digit`

func (d *decoder) name(n node, into *name) {
	s, ok := d.string(n)
	switch {
	case !ok:
	case !nameForm.MatchString(s):
		d.report(n, "%s is not a name: a name is %s", quote(s), nameText)
	default:
		*into = name(s)
	}
}

// checkNames sets the names of the apps without one, and reports duplicate names.
func (d *decoder) checkNames(apps []app) {
	seen := make(map[name]*app, len(apps))
	for i := range apps {
		a := &apps[i]
		at := a.at
		if has(a.given, "name") {
			at = a.at.member("name", member(a.at.Value, "name"))
			if at.Value == nil {
				continue // the key is misspelled, which was reported
			}
		} else {
			a.Name = d.defaultName(a)
		}
		if a.Name == "" {
			continue
		}
		first, taken := seen[a.Name]
		switch {
		case !taken:
			seen[a.Name] = a
		case has(a.given, "name"):
			d.report(at, "the name %q is taken by %v", a.Name, d.refer(first.at, at))
		default:
			d.report(at, `has no "name", and its default name %q is taken by %v`, a.Name, d.refer(first.at, at))
		}
	}
}

// defaultName returns the name of an app without one, made from its first port; "" if that is invalid.
func (d *decoder) defaultName(a *app) name {
	if len(a.Ports) == 0 || a.Ports[0].element != 0 {
		return ""
	}
	port := a.Ports[0].first
	suffix := path.Base(port.Path)
	if port.Network == "tcp" {
		suffix = strconv.Itoa(int(port.Addr.Port()))
	}
	if s := "port-" + suffix; nameForm.MatchString(s) {
		return name(s)
	}
	d.report(a.at, `has no "name", and its first port, %s, does not make one: a name is %s`, quote(port.String()), nameText)
	return ""
}

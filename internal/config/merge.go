package config

import (
	"reflect"
	"slices"

	"github.com/tailscale/hujson"
)

// merge makes d.files.root from the roots of the files of a directory. It reports members that it cannot put there: keys that
// another file has, and what is no array of apps.
func (d *decoder) merge() {
	f := d.files
	all, apps := &hujson.Object{}, &hujson.Array{}
	known := fields[reflect.TypeFor[document]()]
	before := make([]*hujson.Value, len(known)) // the names of the keys in all files so far
	hasApps := false
	for _, src := range f.list {
		src.shift()
		f.firstApp = append(f.firstApp, len(apps.Elements))
		root := node{Value: &src.root}
		object, ok := src.root.Value.(*hujson.Object)
		if !ok {
			d.reportType(root, "an object")
			continue
		}
		here := make([]*hujson.Value, len(known)) // the same in this file
		for i := range object.Members {
			m := &object.Members[i]
			key := text(&m.Name)
			k := slices.IndexFunc(known, func(f field) bool { return sameKey(key, f.key) })
			name := node{Value: &m.Name}
			switch {
			case k < 0: // d.object reports it
				all.Members = append(all.Members, *m)
				continue
			case here[k] != nil:
				d.reportDuplicate(name, node{Value: here[k]})
				continue
			case known[k].key == "apps":
				hasApps = true
				d.mergeApps(apps, root.member("apps", &m.Value))
			case before[k] != nil:
				d.report(name, `%s is already at %v: a setting other than "apps" stands in one file of the directory only`,
					quote(key), d.placeOf(node{Value: before[k]}, name))
			default:
				before[k] = &m.Name
				all.Members = append(all.Members, *m)
			}
			here[k] = &m.Name
		}
	}
	d.badApps = hasApps && len(apps.Elements) == 0 && d.problems.count > 0
	if hasApps && !d.badApps {
		all.Members = append(all.Members, hujson.ObjectMember{
			Name:  hujson.Value{StartOffset: nowhere, Value: hujson.String("apps")},
			Value: hujson.Value{StartOffset: nowhere, Value: apps},
		})
	}
	f.root = hujson.Value{StartOffset: nowhere, Value: all}
}

// mergeApps adds the apps of a file to those of all files.
func (d *decoder) mergeApps(all *hujson.Array, n node) {
	array, ok := n.Value.Value.(*hujson.Array)
	if !ok {
		d.reportType(n, "an array")
		return
	}
	all.Elements = append(all.Elements, array.Elements...)
}

// shift makes the offsets of a syntax tree those among all files of a directory.
func (s *source) shift() {
	for v := range s.root.All() {
		v.StartOffset += s.base
		v.EndOffset += s.base
	}
}

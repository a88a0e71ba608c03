package config

// document is the structure of a configuration file. With its parts it is the single list of keys, which the decoder, the
// schema and Keys walk. The tags are the name of the key and the values it takes (see rule).
type document struct {
	Config
	Admin    admin    `json:"admin"`
	Defaults Settings `json:"defaults"`
	Apps     []app    `json:"apps"`
}

// app is the structure of an App in the file.
type app struct {
	Name    name        `json:"name"`
	Ports   []portRange `json:"ports"`
	Targets []Target    `json:"targets"`
	Settings

	at    node     // its value in the file
	given []string // its keys in the file, also misspelled ones and those with bad values
}

// admin is the structure of an Admin in the file.
type admin struct {
	Listen []adminSocket `json:"listen"`
}

// httpProbe is the structure of an HTTPProbe in the file.
type httpProbe struct {
	Path   httpPath `json:"path"`
	Status statuses `json:"status"`
}

// document returns h as it is in a file.
func (h HTTPProbe) document() httpProbe {
	return httpProbe{httpPath(h.Path), statuses{h.Low, h.High}}
}

// name is the name of an app.
type name string

// newDocument returns the meaning of an empty file.
func newDocument() document {
	return document{Config: Default(), Defaults: DefaultSettings()}
}

func (d *decoder) document() document {
	doc := newDocument()
	d.defaults = &doc.Defaults
	root := node{Value: &d.files.root}
	given, ok := d.object(root, &doc)
	switch {
	case !ok || d.badApps || has(given, "apps"):
	case d.files.directory:
		d.report(root, `none of its files has "apps"`)
	default:
		d.report(root, `has no "apps"`)
	}
	return doc
}

func (d *decoder) apps(n node) []app {
	elements, ok := d.array(n, maxApps, "apps")
	if !ok {
		return nil
	}
	if len(elements) == 0 {
		d.report(n, "must have at least one app")
	}
	apps := make([]app, len(elements))
	for i, e := range elements {
		a := &apps[i]
		a.at, a.Settings = e, *d.defaults
		var ok bool
		if a.given, ok = d.object(e, a); !ok {
			continue
		}
		for _, key := range []string{"ports", "targets"} {
			if !has(a.given, key) {
				d.report(e, "has no %q", key)
			}
		}
	}
	return apps
}

// setting returns the value of a setting of the app, or the app itself if the setting comes from the defaults.
func (a *app) setting(key string) node {
	if v := member(a.at.Value, key); v != nil {
		return a.at.member(key, v)
	}
	return a.at
}

// keepalive decodes false, true or an object, on top of the defaults.
func (d *decoder) keepalive(n node, k *Keepalive) {
	on := *k
	if !on.Enabled {
		on = DefaultSettings().Keepalive
	}
	switch kindOf(n) {
	case "false":
		*k = Keepalive{}
	case "true":
		*k = on
	case "an object":
		d.object(n, &on)
		*k = on
	default:
		d.reportType(n, "true, false or an object")
	}
}

// acceptProxyProtocol decodes false or an object, on top of the defaults.
func (d *decoder) acceptProxyProtocol(n node, a *AcceptProxyProtocol) {
	switch kindOf(n) {
	case "false":
		*a = DefaultSettings().AcceptProxyProtocol
	case "an object":
		if given, _ := d.object(n, a); a.From.Empty() && !has(given, "from") {
			d.report(n, `has no "from": the networks that send a header`)
		}
	default:
		d.reportType(n, "false or an object")
	}
}

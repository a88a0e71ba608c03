package config

// document is a configuration as a file writes it. With its parts it is the one list of keys: the decoder, the schema
// and Keys all walk these types. The tags say what the key is called and which values it takes (see rule).
type document struct {
	Config
	Admin    admin    `json:"admin"`
	Defaults Settings `json:"defaults"`
	Apps     []app    `json:"apps"`
}

// app is an App as a file writes it.
type app struct {
	Name    name        `json:"name"`
	Ports   []portRange `json:"ports"`
	Targets []Target    `json:"targets"`
	Settings

	at    node     // where it stands
	given []string // the keys that it has, well or badly written
}

// admin is an Admin as a file writes it.
type admin struct {
	Listen []adminSocket `json:"listen"`
}

// httpProbe is an HTTPProbe as a file writes it.
type httpProbe struct {
	Path   httpPath `json:"path"`
	Status statuses `json:"status"`
}

// written gives h as a file writes it.
func (h HTTPProbe) written() httpProbe {
	return httpProbe{httpPath(h.Path), statuses{h.Low, h.High}}
}

// name is the name of an app.
type name string

// newDocument returns what an empty file would mean.
func newDocument() document {
	return document{Config: Default(), Defaults: DefaultSettings()}
}

func (d *decoder) document() document {
	doc := newDocument()
	d.defaults = &doc.Defaults
	root := node{Value: &d.source.root}
	given, ok := d.object(root, &doc)
	if ok && !has(given, "apps") {
		d.wrong(root, `has no "apps"`)
	}
	return doc
}

func (d *decoder) apps(n node) []app {
	elements, ok := d.array(n, maxApps, "apps")
	if !ok {
		return nil
	}
	if len(elements) == 0 {
		d.wrong(n, "must have at least one app")
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
				d.wrong(e, "has no %q", key)
			}
		}
	}
	return apps
}

// setting gives the value of a setting of the app, or the app itself if it has the setting from the defaults.
func (a *app) setting(key string) node {
	if v := member(a.at.Value, key); v != nil {
		return a.at.member(key, v)
	}
	return a.at
}

// keepalive decodes false, true or an object over the defaults that apply.
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
		d.wrongType(n, "true, false or an object")
	}
}

// acceptProxyProtocol decodes false, or an object over the defaults that apply.
func (d *decoder) acceptProxyProtocol(n node, a *AcceptProxyProtocol) {
	switch kindOf(n) {
	case "false":
		*a = DefaultSettings().AcceptProxyProtocol
	case "an object":
		if given, _ := d.object(n, a); a.From.Empty() && !has(given, "from") {
			d.wrong(n, `has no "from": the networks that send a header`)
		}
	default:
		d.wrongType(n, "false or an object")
	}
}

package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"time"
)

// schema is a JSON Schema, draft 2020-12, with the keywords that a configuration needs.
type schema struct {
	Dialect              string     `json:"$schema,omitempty"`
	Title                string     `json:"title,omitempty"`
	Description          string     `json:"description,omitempty"`
	Type                 string     `json:"type,omitempty"`
	AnyOf                []*schema  `json:"anyOf,omitempty"`
	Const                *bool      `json:"const,omitempty"`
	Enum                 []string   `json:"enum,omitempty"`
	Pattern              string     `json:"pattern,omitempty"`
	Minimum              *int64     `json:"minimum,omitempty"`
	Maximum              *int64     `json:"maximum,omitempty"`
	Default              any        `json:"default,omitempty"`
	MinItems             int        `json:"minItems,omitempty"`
	MaxItems             int        `json:"maxItems,omitempty"`
	UniqueItems          bool       `json:"uniqueItems,omitempty"`
	Items                *schema    `json:"items,omitempty"`
	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AdditionalProperties *bool      `json:"additionalProperties,omitempty"`
}

// properties is an object that keeps the order of its keys.
type properties []property

type property struct {
	key    string
	schema *schema
}

// MarshalJSON returns an object.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, p := range ps {
		b.WriteByte("{,"[min(i, 1)])
		key, err := json.Marshal(p.key)
		if err != nil {
			return nil, err
		}
		value, err := marshal(p.schema)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal does not escape <, > and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

// Schema returns the JSON Schema (draft 2020-12) of a configuration without comments and trailing commas. It refuses no
// configuration that Parse accepts, if the keys are in lower case.
func Schema() []byte {
	return format(rootSchema("Configuration of tcp-proxy"))
}

// DirectorySchema returns the same for each file of a configuration directory, in which apps may be missing.
func DirectorySchema() []byte {
	root := rootSchema("File of a configuration directory of tcp-proxy")
	root.Required = nil
	for _, p := range root.Properties {
		if p.key == "apps" {
			p.schema.MinItems = 0
		}
	}
	return format(root)
}

func rootSchema(title string) *schema {
	root := objectSchema(entries())
	root.Dialect = "https://json-schema.org/draft/2020-12/schema"
	root.Title = title
	return root
}

func format(root *schema) []byte {
	text, err := marshal(root)
	if err != nil {
		panic(err) // it has no value that cannot be marshalled
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func objectSchema(entries []entry) *schema {
	s := &schema{Type: "object", AdditionalProperties: new(bool)}
	for _, e := range entries {
		s.Properties = append(s.Properties, property{e.key, e.schema()})
		if e.required() {
			s.Required = append(s.Required, e.key)
		}
	}
	return s
}

func (e entry) schema() *schema {
	s := e.typeSchema()
	s.Description = e.doc()
	s.Default = e.defaultValue()
	return s
}

func (e entry) typeSchema() *schema {
	switch e.value.(type) {
	case bool:
		return &schema{Type: "boolean"}
	case int:
		return &schema{Type: "integer", Minimum: &e.rule.low, Maximum: &e.rule.high}
	case string:
		if len(e.rule.enum) == 0 {
			return &schema{Type: "string", Pattern: bytesPattern}
		}
		values := e.rule.enum
		for other := range e.rule.alias {
			values = append(values[:len(values):len(values)], other)
		}
		return &schema{Type: "string", Enum: values}
	case name:
		return &schema{Type: "string", Pattern: namePattern}
	case time.Duration:
		return &schema{Type: "string", Pattern: durationPattern}
	case Address:
		return &schema{Type: "string", Pattern: addressPattern}
	case netip.Addr:
		return &schema{Type: "string", Pattern: sourcePattern}
	case httpPath:
		return &schema{Type: "string", Pattern: pathPattern}
	case statuses:
		return &schema{Type: "string", Pattern: statusPattern}
	case Networks:
		return &schema{Type: "array", MinItems: int(e.rule.low), MaxItems: int(e.rule.high), Items: &schema{Type: "string", Pattern: networkPattern}}
	case []adminSocket:
		return &schema{Type: "array", MaxItems: maxAdmin, UniqueItems: true, Items: &schema{Type: "string", Pattern: adminPattern}}
	case AcceptProxyProtocol, HTTPProbe:
		return &schema{AnyOf: []*schema{{Const: new(bool)}, objectSchema(e.children)}}
	case Keepalive:
		return &schema{AnyOf: []*schema{{Type: "boolean"}, objectSchema(e.children)}}
	case OneIn:
		return &schema{AnyOf: []*schema{{Type: "boolean"}, {Type: "integer", Minimum: &e.rule.low, Maximum: &e.rule.high}}}
	case []portRange:
		one, most := int64(1), int64(65535)
		return &schema{Type: "array", MinItems: 1, UniqueItems: true, Items: &schema{AnyOf: []*schema{
			{Type: "integer", Minimum: &one, Maximum: &most},
			{Type: "string", Pattern: portPattern},
		}}}
	case []Target:
		return &schema{Type: "array", MinItems: 1, MaxItems: maxTargets, UniqueItems: true, Items: &schema{AnyOf: []*schema{
			{Type: "string", Pattern: addressPattern},
			objectSchema(e.children),
		}}}
	case []app:
		return &schema{Type: "array", MinItems: 1, MaxItems: maxApps, Items: objectSchema(e.children)}
	default:
		return objectSchema(e.children)
	}
}

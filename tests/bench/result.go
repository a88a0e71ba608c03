package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// results are all figures of a run. This is what results.json holds.
type results struct {
	Began       time.Time       `json:"began"`
	Took        float64         `json:"took_seconds"`
	Command     string          `json:"command"`
	Machine     machine         `json:"machine"`
	Repeats     int             `json:"repeats"`
	Measure     float64         `json:"measure_seconds"`
	Others      float64         `json:"others_percent"` // of a core: what others might use before a cell counts as disturbed
	Contestants []contestantTag `json:"contestants"`
	Rows        []rowResult     `json:"rows"`
}

// contestantTag names a contestant, in the order of the table.
type contestantTag struct {
	Name    string `json:"name"`
	Role    role   `json:"role"`
	Version string `json:"version,omitempty"`
}

type rowResult struct {
	Row   string       `json:"row"`
	Title string       `json:"title"`
	Cells []cellResult `json:"contestants"`
}

// cellResult holds a contestant's figures in one row, one sample a repeat.
type cellResult struct {
	Contestant string             `json:"contestant"`
	Samples    []sample           `json:"samples"`
	Failed     int                `json:"failed,omitempty"`   // repeats that gave no sample
	Failure    string             `json:"failure,omitempty"`  // why, for the first of them
	Calls      map[string]float64 `json:"calls,omitempty"`    // system calls per connection, one at a time, by name
	Calls16    map[string]float64 `json:"calls_16,omitempty"` // the same with 16 clients
}

// sample is what one measurement gave, by metric key.
type sample map[string]float64

func (r *results) row(name string) *rowResult {
	i := slices.IndexFunc(r.Rows, func(x rowResult) bool { return x.Row == name })
	if i < 0 {
		return nil
	}
	return &r.Rows[i]
}

// cell returns nil if the contestant has no place in the row. It may be called on nil.
func (r *rowResult) cell(contestant string) *cellResult {
	if r == nil {
		return nil
	}
	i := slices.IndexFunc(r.Cells, func(x cellResult) bool { return x.Contestant == contestant })
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}

// values returns the samples of a metric. It may be called on nil.
func (c *cellResult) values(m metric) []float64 {
	var v []float64
	if c != nil {
		for _, s := range c.Samples {
			if x, ok := s[m.key]; ok {
				v = append(v, x)
			}
		}
	}
	return v
}

// value is the median of a metric over the repeats; ok is false if there is none.
func (c *cellResult) value(m metric) (v float64, ok bool) {
	all := c.values(m)
	return median(all), len(all) > 0
}

// bestPeer returns the best median of a metric among the peers, and whose it is; "" if no peer has one.
func (r *results) bestPeer(row string, m metric) (best float64, name string) {
	for _, c := range r.Contestants {
		v, ok := r.row(row).cell(c.Name).value(m)
		if c.Role != rolePeer || !ok {
			continue
		}
		if name == "" || m.better == higher && v > best || m.better == lower && v < best {
			best, name = v, c.Name
		}
	}
	return best, name
}

// ratio of a contestant's median to that of the best peer; ok is false if either is missing.
func (r *results) ratio(row, contestant string, m metric) (ratio float64, ok bool) {
	v, have := r.row(row).cell(contestant).value(m)
	best, peer := r.bestPeer(row, m)
	if !have || peer == "" || best == 0 || m.better == incomparable {
		return 0, false
	}
	return v / best, true
}

// disturbed counts the samples during which others used more of the CPUs than the run wanted, and all samples that
// tell.
func (r *results) disturbed() (n, all int) {
	for i := range r.Rows {
		for j := range r.Rows[i].Cells {
			for _, v := range r.Rows[i].Cells[j].values(otherCPU) {
				if all++; v > r.Others {
					n++
				}
			}
		}
	}
	return n, all
}

func readResults(path string) (*results, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(results)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func writeResults(r *results, path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

package config

import "testing"

func TestOverride(t *testing.T) {
	c := Default()
	for path, value := range map[string]string{
		"max_workers": "7", "engine": "copy", "log.level": "warn", "log.format": "json",
	} {
		if err := c.Override(path, value); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if c.MaxWorkers != 7 || c.Engine != "copy" || c.Log.Level != "warning" || c.Log.Format != "json" {
		t.Errorf("the values have not arrived: %+v", c)
	}
}

func TestOverrideKeepsTheRules(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"max_workers", "0", `must be from 1 to 1000000, not "0"`},
		{"max_workers", "many", `must be a whole number, 1 to 1000000, not "many"`},
		{"max_workers", "99999999999999999999", `must be from 1 to 1000000, not "99999999999999999999"`},
		{"log.format", "xml", `must be "auto", "journal", "text" or "json", not "xml"`},
	} {
		cfg := Default()
		err := cfg.Override(c.path, c.value)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s = %s: %v, want %s", c.path, c.value, err, c.want)
		}
		if cfg.MaxWorkers != Default().MaxWorkers || cfg.Log != Default().Log {
			t.Errorf("%s = %s changed the configuration", c.path, c.value)
		}
	}
}

package telemetry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// deployed returns a file of deploy/.
func deployed(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", "deploy"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// naming holds an expression to the metrics that there are, and to the labels by
// which it tells them apart. It returns the names of those that are ours.
func naming(t *testing.T, where, expr string, metrics map[string]kind) []string {
	t.Helper()
	var used []string
	for _, found := range regexp.MustCompile(`\b((?:weir|gen_ai)_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(expr, -1) {
		name := found[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && metrics[base].Type == "histogram" {
				name = base
			}
		}
		k, ok := metrics[name]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, found[1])
			continue
		}
		used = append(used, name)
		known := append(strings.Split(k.Labels, ", "), "le", "job", "instance")
		for _, label := range regexp.MustCompile(`([a-z_]+)[=!]~?"`).FindAllStringSubmatch(found[2], -1) {
			if !slices.Contains(known, label[1]) && (label[1] != "key" || !slices.Contains(known, "team")) {
				t.Errorf("%s: %s has no label %s", where, name, label[1])
			}
		}
	}
	return used
}

// TestRules holds the rules for Prometheus to their unit tests and to the metrics that
// there are. Each alert has a test in which it fires.
func TestRules(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "deploy", "prometheus")
	promtool(t, "", "check", "rules", filepath.Join(dir, "alerts.yml"))
	promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yml"))
	rules, tests := string(deployed(t, "prometheus", "alerts.yml")), string(deployed(t, "prometheus", "alerts_test.yml"))
	naming(t, "alerts.yml", regexp.MustCompile(`(?m)^ *(summary|description|#).*$`).ReplaceAllString(rules, ""), all(t))
	alerts := regexp.MustCompile(`(?m)alert: (\w+)$`).FindAllStringSubmatch(rules, -1)
	for _, alert := range alerts {
		if !regexp.MustCompile(`alertname: ` + alert[1] + `\n +exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test shows when %s fires", alert[1])
		}
	}
	if len(alerts) < 10 {
		t.Errorf("there are %d alerts", len(alerts))
	}
}

// panel is what of one is looked at.
type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource struct{ UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct{ Expr string }
}

// TestDashboard holds the dashboard for Grafana: that its expressions can be read, that
// they are about metrics that there are, that every metric of ours is on it, and that
// no panel lies over another.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var d struct {
		SchemaVersion int
		Panels        []panel
		Annotations   struct{ List []struct{ Expr string } }
	}
	raw := deployed(t, "grafana", "weir.json")
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	metrics, shown := all(t), map[string]bool{}
	var rules bytes.Buffer
	rules.WriteString("groups:\n  - name: panels\n    rules:\n")
	expression := func(where, expr string) {
		for _, name := range naming(t, where, expr, metrics) {
			shown[name] = true
		}
		text, err := json.Marshal(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rules, "      - { record: panel:%d, expr: %s }\n", rules.Len(), text)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: there are two panels %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
			t.Errorf("%s: asks %q %d times", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			expression(p.Title, target.Expr)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if under := taken[[2]int{x, y}]; under != "" {
					t.Fatalf("%s lies over %s", p.Title, under)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	for _, a := range d.Annotations.List {
		expression("annotations", a.Expr)
	}
	for _, query := range regexp.MustCompile(`label_values\(([^,]+),`).FindAllStringSubmatch(string(raw), -1) {
		naming(t, "variables", query[1], metrics)
	}
	path := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(path, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", path)
	for _, name := range slices.Sorted(maps.Keys(metrics)) {
		if strings.HasPrefix(name, "weir_") && !shown[name] {
			t.Errorf("%s is on no panel", name)
		}
	}
	if d.SchemaVersion < 42 || len(ids) < 30 {
		t.Errorf("schema version %d, %d panels", d.SchemaVersion, len(ids))
	}
}

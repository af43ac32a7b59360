package telemetry_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPanelsOverReplicas holds panels of the dashboard for Grafana to what they show
// where several replicas are scraped, and where nothing has failed yet.
func TestPanelsOverReplicas(t *testing.T) {
	t.Parallel()
	var d struct{ Panels []panel }
	if err := json.Unmarshal(deployed(t, "grafana", "weir.json"), &d); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, want string }{
		{"Budgets", `[{ labels: '{team="a"}', value: 60 }]`},
		{"Failed", `[{ labels: '{}', value: 0 }]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range d.Panels {
				if p.Title == tt.name {
					shows(t, p.Targets[0].Expr, tt.want)
					return
				}
			}
			t.Errorf("there is no panel %s", tt.name)
		})
	}
}

// shows holds an expression to what it is where two replicas are scraped.
func shows(t *testing.T, expr, want string) {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "5m", "$team", ".*", "$model", ".*").Replace(expr)
	const replicas = `
rule_files: []
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'weir_team_budget_usd{job="weir",instance="1",team="a"}', values: '100x20' }
      - { series: 'weir_team_budget_usd{job="weir",instance="2",team="a"}', values: '100x20' }
      - { series: 'weir_team_budget_used_ratio{job="weir",instance="1",team="a"}', values: '0.5x20' }
      - { series: 'weir_team_budget_used_ratio{job="weir",instance="2",team="a"}', values: '0.6x20' }
      - { series: 'weir_requests_total{job="weir",instance="1",team="a",model="m",outcome="ok"}', values: '0+60x20' }
      - { series: 'weir_requests_total{job="weir",instance="2",team="a",model="m",outcome="ok"}', values: '0+60x20' }
    promql_expr_test:
      - { expr: %s, eval_time: 10m, exp_samples: %s }
`
	text, err := json.Marshal(expr)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "panel_test.yml")
	if err := os.WriteFile(path, fmt.Appendf(nil, replicas, text, want), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "test", "rules", path)
}

package telemetry_test

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/telemetry"
	"weir/usage"
)

// everything returns what Prometheus reads of a gateway to which everything has
// happened that is measured. Latest is whether the newest names are asked for.
func everything(t *testing.T, latest bool) string {
	t.Helper()
	m := measured(t, func(cfg *telemetry.MetricsConfig) {
		cfg.Getenv = func(name string) string {
			if latest && name == "OTEL_SEMCONV_STABILITY_OPT_IN" {
				return "gen_ai_latest_experimental"
			}
			return ""
		}
	})
	m.Take(t.Context(), failedOver())
	m.Take(t.Context(), &usage.Record{
		Route: "/v1/chat/completions", Team: "search", Model: "gpt-4o", Status: 429, Outcome: usage.RefusedLimit, Code: "rate_limit_exceeded",
		Operation: usage.Chat, Limit: usage.TokenLimit,
	})
	m.Enter("gpt-4o", true)
	left := usage.Number{Value: 1, Set: true}
	m.Watch(telemetry.Sources{
		Deployments: func() []telemetry.Deployment {
			return []telemetry.Deployment{{Name: "east/gpt-4o", State: "closed", Tokens: left, Requests: left}}
		},
		Models: func() map[string]bool { return map[string]bool{"gpt-4o": true} },
		Limits: func() []telemetry.Level {
			return []telemetry.Level{{Team: "search", Limit: usage.TokenLimit, Used: .25}}
		},
	})
	m.Reloaded(t.Context(), telemetry.Reload{OK: true, At: time.Now(), Hash: "7f3a21"})
	m.Stored(t.Context(), "reserve", time.Millisecond, true)
	a, err := telemetry.NewAlerts(m, telemetry.AlertsConfig{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a.Check(t.Context(), []telemetry.Budget{budget(12, time.Now())})
	a.Close(context.Background())
	return exposed(t, m)
}

// kind is what a metric is and is told apart by.
type kind struct {
	Type   string
	Labels string // in order, separated by ", "
}

// ours returns the metrics in an exposition, but those of the runtime.
func ours(t *testing.T, text string) map[string]kind {
	t.Helper()
	all := map[string]kind{}
	labels := map[string]map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		name := found[1]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		if !regexp.MustCompile(`(?m)^# HELP ` + name + ` \S`).MatchString(text) {
			t.Errorf("%s has no help", name)
		}
		all[name], labels[name] = kind{Type: found[2]}, map[string]bool{}
	}
	for _, found := range regexp.MustCompile(`(?m)^([a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(text, -1) {
		name := found[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && labels[base] != nil {
				name = base
			}
		}
		for _, pair := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(found[2], -1) {
			if labels[name] != nil && pair[1] != "le" {
				labels[name][pair[1]] = true
			}
		}
	}
	for name, k := range all {
		var names []string
		for label := range labels[name] {
			names = append(names, label)
		}
		slices.Sort(names)
		k.Labels = strings.Join(names, ", ")
		all[name] = k
	}
	return all
}

// all returns every metric there is, under the names of both conventions.
func all(t *testing.T) map[string]kind {
	t.Helper()
	out := ours(t, everything(t, false))
	maps.Copy(out, ours(t, everything(t, true)))
	return out
}

// TestMetricsAreDocumented holds the tables of docs/metrics.md to the metrics that
// there are, their types and their labels.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]kind{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+) \\| ([a-z_, ]*?) ?\\| (.+) \\|$").FindAllStringSubmatch(string(page), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = kind{row[2], row[3]}
	}
	if diff := cmp.Diff(all(t), documented); diff != "" {
		t.Errorf("metrics (-exposed +documented):\n%s", diff)
	}
}

// promtool runs the tool that comes with Prometheus.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("promtool is missing; .ci/install installs it, or: apt-get install prometheus (%v)", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	} else if args[0] == "check" && args[1] == "metrics" && len(out) > 0 {
		t.Errorf("promtool complains:\n%s", out)
	}
}

// TestPromtoolIsSilent holds that the linter of Prometheus finds nothing.
func TestPromtoolIsSilent(t *testing.T) {
	t.Parallel()
	promtool(t, everything(t, false), "check", "metrics")
	promtool(t, everything(t, true), "check", "metrics")
}

package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/telemetry"
	"weir/usage"
)

// hook is a webhook that answers each post with the next of its statuses, 200 when
// they are spent. A status of 0 is a connection that breaks.
type hook struct {
	mu       sync.Mutex
	statuses []int
	posts    []map[string]any
}

func (h *hook) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var post map[string]any
	if err := json.NewDecoder(r.Body).Decode(&post); err != nil {
		return nil, err
	}
	h.posts = append(h.posts, post)
	status := http.StatusOK
	if len(h.statuses) > 0 {
		status, h.statuses = h.statuses[0], h.statuses[1:]
	}
	if status == 0 {
		return nil, errors.New("dial " + r.URL.String())
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// alerts returns Alerts that post to h, and what they log.
func alerts(t *testing.T, h *hook, once func(context.Context, string) (bool, error)) (*telemetry.Alerts, *telemetry.Metrics, *bytes.Buffer) {
	t.Helper()
	m, err := telemetry.NewMetrics(t.Context(), telemetry.MetricsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a, err := telemetry.NewAlerts(m, telemetry.AlertsConfig{
		Log: slog.New(slog.NewJSONHandler(&out, nil)), Webhook: "https://hooks.example/T0P-SECRET",
		Client: &http.Client{Transport: h}, Once: once, Backoff: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, m, &out
}

func budget(spent usage.USD, from time.Time) telemetry.Budget {
	return telemetry.Budget{Team: "search", Amount: 10 * usage.Dollar, Spent: spent * usage.Dollar, From: from, At: []float64{0.5, 1}}
}

// TestAlerts holds that each share is said once in each window, whatever is
// checked in between.
func TestAlerts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hook{}
		a, m, out := alerts(t, h, nil)
		first := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		second := first.AddDate(0, 1, 0)
		for _, b := range []telemetry.Budget{
			budget(4, first), budget(5, first), budget(6, first), budget(4, first), budget(12, first), budget(12, first),
			budget(1, second), budget(9, second),
		} {
			a.Check(t.Context(), []telemetry.Budget{b})
			a.Wait()
		}
		var shares []any
		for _, p := range h.posts {
			shares = append(shares, p["share"], p["window_start"])
		}
		want := []any{0.5, "2026-11-01T00:00:00Z", 1., "2026-11-01T00:00:00Z", 0.5, "2026-12-01T00:00:00Z"}
		if diff := cmp.Diff(want, shares); diff != "" {
			t.Errorf("posted (-want +got):\n%s", diff)
		}
		if got := h.posts[0]["text"]; got != "Weir: search has used 50% of its budget of $10.00: $5.00." {
			t.Errorf("the text is %q", got)
		}
		if got := strings.Count(out.String(), `"msg":"budget alert"`); got != 3 {
			t.Errorf("%d lines, want 3:\n%s", got, out)
		}
		text := exposed(t, m)
		for _, want := range []string{
			`weir_budget_alerts_total{key="",mode="enforce",share="50%",team="search"} 2`,
			`weir_budget_used_ratio{key="",mode="enforce",team="search"} 0.9`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("there is no %q in:\n%s", want, text)
			}
		}
	})
}

// TestAlertsOfOthers holds that what another process has said is not said again,
// and that it is where that cannot be told.
func TestAlertsOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hook{}
		var asked []string
		a, _, _ := alerts(t, h, func(_ context.Context, name string) (bool, error) {
			asked = append(asked, name)
			if len(asked) == 1 {
				return false, nil
			}
			return false, errors.New("away")
		})
		b := budget(10, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
		b.Key = "prod"
		a.Check(t.Context(), []telemetry.Budget{b})
		a.Check(t.Context(), []telemetry.Budget{b})
		a.Wait()
		want := []string{"budget alert search/prod 2026-11-01T00:00:00Z $10.00 0.5", "budget alert search/prod 2026-11-01T00:00:00Z $10.00 1"}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("asked about (-want +got):\n%s", diff)
		}
		if len(h.posts) != 1 || h.posts[0]["share"] != 1. {
			t.Errorf("posted: %v", h.posts)
		}
	})
}

// TestAlertsAreDelivered holds that a webhook that fails is asked again, with
// waits, and not for ever, and that its URL is not logged.
func TestAlertsAreDelivered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		statuses []int
		posts    int
		took     time.Duration
		logged   string
	}{
		{"twice", []int{500}, 2, time.Second, ""},
		{"at last", []int{0, 404, 500}, 4, 7 * time.Second, ""},
		{"never", []int{0, 0, 0, 0, 0}, 4, 7 * time.Second, "the webhook cannot be reached"},
		{"refused", []int{403, 403, 403, 403}, 4, 7 * time.Second, "the webhook answered 403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &hook{statuses: tt.statuses}
				a, _, out := alerts(t, h, nil)
				begin := time.Now()
				a.Check(t.Context(), []telemetry.Budget{budget(5, begin)})
				if took := time.Since(begin); took != 0 {
					t.Errorf("Check took %v", took)
				}
				a.Wait()
				if took := time.Since(begin); len(h.posts) != tt.posts || took != tt.took {
					t.Errorf("%d posts in %v, want %d in %v", len(h.posts), took, tt.posts, tt.took)
				}
				if !strings.Contains(out.String(), tt.logged) || strings.Contains(out.String(), "SECRET") {
					t.Errorf("logged, want %q and no URL:\n%s", tt.logged, out)
				}
			})
		})
	}
}

// TestAlertOfARefusal holds that a budget which has refused a request counts as
// used up, for the last request seldom fits exactly, and that one which only
// rehearses is told apart from one that holds.
func TestAlertOfARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hook{}
		a, m, _ := alerts(t, h, nil)
		b := budget(4, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
		b.Refused = true
		rehearsed := b
		rehearsed.Shadow, rehearsed.Spent = true, 10*usage.Dollar
		a.Check(t.Context(), []telemetry.Budget{b, rehearsed})
		a.Check(t.Context(), []telemetry.Budget{b, rehearsed})
		a.Wait()
		said := map[any]bool{}
		for _, p := range h.posts {
			said[p["text"]] = true
		}
		want := map[any]bool{
			"Weir: search has used up its budget of $10.00: $4.00 are spent or reserved, and a request needed more than is left.": true,
			"Weir: search has used 50% of its budget of $10.00: $10.00. The budget is in shadow mode: nothing is refused.":        true,
			"Weir: search has used 100% of its budget of $10.00: $10.00. The budget is in shadow mode: nothing is refused.":       true,
		}
		if diff := cmp.Diff(want, said); diff != "" || len(h.posts) != 3 {
			t.Errorf("%d posts (-want +got):\n%s", len(h.posts), diff)
		}
		if text := exposed(t, m); !strings.Contains(text, `weir_budget_used_ratio{key="",mode="shadow",team="search"} 1`) {
			t.Errorf("the metrics:\n%s", text)
		}
	})
}

// TestAlertsAreGivenUp holds that a webhook which does not answer keeps nothing
// from ending, and that alerts go where they are posted to now.
func TestAlertsAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hook{statuses: []int{500, 500, 500, 500}}
		a, _, out := alerts(t, h, nil)
		begin := time.Now()
		b := budget(5, begin)
		a.Check(t.Context(), []telemetry.Budget{b})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		a.Close(ctx)
		if took := time.Since(begin); took != 2*time.Second || len(h.posts) != 2 || !strings.Contains(out.String(), "could not be delivered") {
			t.Errorf("it took %v and %d posts:\n%s", took, len(h.posts), out)
		}
		a.PostTo("")
		b.Spent = b.Amount
		a.Check(t.Context(), []telemetry.Budget{b})
		a.Wait()
		if len(h.posts) != 2 {
			t.Errorf("%d posts, though alerts are posted nowhere", len(h.posts))
		}
	})
}

package command

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/config"
)

// hook is a webhook that tells of what is posted to it.
type hook struct {
	*httptest.Server

	posts chan string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{posts: make(chan string, 16)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var post struct {
			Event, Team, Key, Mode string
			Share                  float64
			Refused                bool
		}
		if err := json.NewDecoder(r.Body).Decode(&post); err != nil || r.Method != http.MethodPost || post.Event != "budget_alert" {
			t.Errorf("posted %s %+v, %v", r.Method, post, err)
		}
		h.posts <- fmt.Sprintf("%s/%s %g %s refused=%t", post.Team, post.Key, post.Share, post.Mode, post.Refused)
	}))
	t.Cleanup(h.Close)
	return h
}

// all returns what has been posted since the last call, sorted.
func (h *hook) all() []string {
	all := []string{}
	for len(h.posts) > 0 {
		all = append(all, <-h.posts)
	}
	slices.Sort(all)
	return all
}

// budgeted is a configuration whose requests of hello cost a cent each.
func budgeted(endpoint, webhook, ledger, teams string) string {
	return `version: 1
server: { listen: "127.0.0.1:0", admin_listen: "127.0.0.1:0" }
backends: { azure: { endpoint: "` + endpoint + `", auth: { api_key: "key-of-azure" } } }
models: { gpt-4o: { price: { input: 125, output: 900 }, deployments: [{ backend: azure, deployment: gpt-4o }] } }
telemetry: { alerts: { webhook: "` + webhook + `" } }
state: { ledger: { path: ` + strconv.Quote(ledger) + ` } }
teams: { ` + teams + ` }
`
}

// accountant is a gateway whose budgets are looked at when a test says so.
type accountant struct {
	*testing.T

	gateway *Gateway
	hook    *hook
	log     *journal
}

func (a *accountant) configure(text string) *config.File {
	a.Helper()
	f, problems := config.Parse("weir.yaml", []byte(text), config.Options{})
	if f == nil {
		a.Fatal(problems)
	}
	return f
}

func (a *accountant) begin(text string) {
	a.Helper()
	g, err := Build(a.Context(), a.configure(text), Parts{Log: slog.New(slog.NewJSONHandler(a.log, nil)), Encodings: vocabularies()})
	if err != nil {
		a.Fatal(err)
	}
	a.gateway = g
}

func (a *accountant) end() {
	a.Helper()
	if err := a.gateway.Close(a.Context()); err != nil {
		a.Fatal(err)
	}
}

// spend sends so many requests and returns how many were refused.
func (a *accountant) spend(n int) (refused int) {
	a.Helper()
	for range n {
		out := httptest.NewRecorder()
		in := httptest.NewRequestWithContext(a.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(hello))
		in.Header.Set("Content-Type", "application/json")
		in.Header.Set("Api-Key", "sk-of-the-team-search")
		a.gateway.API.ServeHTTP(out, in)
		switch out.Code {
		case http.StatusOK:
		case http.StatusTooManyRequests:
			refused++
		default:
			a.Fatalf("answered %d %s", out.Code, out.Body)
		}
	}
	return refused
}

// hears checks what is alerted of when the budgets are looked at, twice.
func (a *accountant) hears(when string, want ...string) {
	a.Helper()
	for range 2 {
		a.gateway.state.alerts.Check(a.Context(), a.gateway.budgets(a.Context()))
	}
	a.gateway.state.alerts.Wait()
	if diff := cmp.Diff(append([]string{}, want...), a.hook.all()); diff != "" {
		a.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// TestBudgetAlerts holds that each share of a budget is alerted of once, in the log,
// the metrics and at the webhook, also over a restart; that a budget which refuses
// counts as used up, though the last request did not fit exactly; and that one in
// shadow mode is told apart from one that holds.
func TestBudgetAlerts(t *testing.T) {
	t.Parallel()
	_, endpoint := newAzure(t)
	a := &accountant{T: t, hook: newHook(t), log: newJournal()}
	path := filepath.Join(t.TempDir(), "ledger.db")
	text := func(mode string) string {
		return budgeted(endpoint, a.hook.URL, path, `search: { keys: [{ id: one, value: sk-of-the-team-search }], budget: { usd: 0.105, alert_at: [50%, 100%], mode: `+mode+` } }`)
	}
	a.begin(text("enforce"))
	a.spend(5)
	a.hears("below a half")
	a.spend(1)
	a.hears("beyond a half", "search/ 0.5 enforce refused=false")
	if n := a.spend(4); n != 0 {
		t.Errorf("%d were refused that fit", n)
	}
	a.hears("nearly all")
	if n := a.spend(2); n != 2 {
		t.Errorf("%d were refused of 2", n)
	}
	a.hears("refused", "search/ 1 enforce refused=true")
	if n := strings.Count(a.log.String(), `"msg":"budget alert"`); n != 2 {
		t.Errorf("%d lines in the log, want 2:\n%s", n, a.log)
	}
	metrics := httptest.NewRecorder()
	a.gateway.Admin.ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, share := range []string{"50%", "100%"} {
		if want := `weir_budget_alerts_total{key="",mode="enforce",share="` + share + `",team="search"} 1`; !strings.Contains(metrics.Body.String(), want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	a.end()

	a.begin(text("enforce"))
	defer func() { a.end() }()
	a.hears("behind a restart")
	if n := a.spend(1); n != 1 {
		t.Error("behind a restart the budget begins anew")
	}
	a.hears("refused behind a restart")
	if _, err := a.gateway.Reload(a.configure(text("shadow"))); err != nil {
		t.Fatal(err)
	}
	if n := a.spend(1); n != 0 {
		t.Error("a budget in shadow mode refuses")
	}
	a.hears("in shadow mode", "search/ 0.5 shadow refused=true", "search/ 1 shadow refused=true")
	other := newHook(t)
	if _, err := a.gateway.Reload(a.configure(strings.NewReplacer("0.105", "0.2", a.hook.URL, other.URL).Replace(text("enforce")))); err != nil {
		t.Fatal(err)
	}
	a.hears("at the old webhook")
	if diff := cmp.Diff([]string{"search/ 0.5 enforce refused=false"}, other.all()); diff != "" {
		t.Errorf("of a larger budget, at the new webhook (-want +got):\n%s", diff)
	}
}

// TestRefusalIsAlertedOfAtOnce holds that a running gateway waits for no look at the
// budgets when one of them begins to refuse.
func TestRefusalIsAlertedOfAtOnce(t *testing.T) {
	_, endpoint := newAzure(t)
	h := newHook(t)
	p := serve(t, budgeted(endpoint, h.URL, filepath.Join(t.TempDir(), "ledger.db"),
		`search: { keys: [{ id: one, value: sk-of-the-team-search, budget: { usd: 0.015, alert_at: [100%] } }] }`))
	client := &http.Client{Transport: withKey("sk-of-the-team-search")}
	for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
		resp, err := client.Post(p.api+"/v1/chat/completions", "application/json", strings.NewReader(hello))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("answered %d, want %d", resp.StatusCode, want)
		}
	}
	if got, want := <-h.posts, "search/one 1 enforce refused=true"; got != want {
		t.Errorf("posted %q, want %q", got, want)
	}
	if line := p.log.wait(t, "budget alert"); line["level"] != "WARN" || line["key"] != "one" {
		t.Errorf("logged %v", line)
	}
}

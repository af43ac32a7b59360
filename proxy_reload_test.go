package main_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/config"
	"weir/usage"
)

// reload gives the gateway the plain configuration with edits.
func (w *world) reload(edits ...string) {
	w.t.Helper()
	if _, err := w.gateway.Reload(configure(w.t, strings.NewReplacer(edits...).Replace(plain))); err != nil {
		w.t.Fatal(err)
	}
}

// paced returns so many answers that each take a while.
func paced(n int) []azuresim.Step {
	return slices.Repeat([]azuresim.Step{{Gap: 3 * time.Millisecond}}, n)
}

// reloads is a gateway under load that is given one configuration after another.
type reloads struct {
	*world

	good [2]*config.File
	bad  *config.File // that is valid, and names a file that is not there

	over   atomic.Bool
	load   sync.WaitGroup // who calls without a pause
	late   sync.WaitGroup // who waits for an answer all the time
	served atomic.Int64
}

// reloading are the edits of the plain gateway that two configurations share.
func reloading() []string {
	return append(twoPrices(),
		`owner: "#search"`, `owner: "#search"`+"\n    budget: { usd: 1000 }\n    limits: { rpm: 1000000, tpm: 100000000, concurrency: 64 }",
		"deployment: d2 }", "deployment: d2, max_in_flight: 1 }",
		"\nresilience:", "\nresilience:\n  queue: { max_wait: 10m }\n  breaker: { open_for: 10m }")
}

func newReloads(w *world) *reloads {
	first := strings.NewReplacer(reloading()...).Replace(plain)
	second := strings.NewReplacer("aliases: [chat]", "aliases: [talk]", "tpm: 100000000", "tpm: 50000000", "priority: 1 }", "priority: 1, weight: 3, tpm: 900000000 }",
		"models: [gpt-35-turbo]", "models: [gpt-35-turbo, gpt-5]", "max: 1s", "max: 2s").Replace(first)
	bad := strings.Replace(first, `auth: { api_key: "${WEST_KEY}" }`, "auth: { api_key_file: /nowhere/key }", 1)
	gone, problems := config.Parse("weir.yaml", []byte(bad), config.Options{
		Getenv: func(name string) (string, bool) {
			if !strings.HasSuffix(name, "_KEY") {
				return "", false
			}
			return "a-key-for-" + name, true
		},
		ReadFile: func(string) ([]byte, error) { return []byte("key"), nil },
	})
	if gone == nil {
		w.t.Fatal(problems)
	}
	return &reloads{world: w, good: [2]*config.File{configure(w.t, first), configure(w.t, second)}, bad: gone}
}

// occupy makes the gateway know something: a breaker is open, a deployment rests, a
// stream is under way, and two requests wait behind one that takes long.
func (r *reloads) occupy() {
	r.t.Helper()
	r.east.ScriptDeployment("gpt-4o-east", slices.Repeat(steps("close-after-read"), 100)...)
	for range 50 {
		r.expect(say("hello"), http.StatusOK)
	}
	if got := r.unwell()["east/gpt-4o-east"]; got != "open" {
		r.t.Fatalf("the breaker is not open: %s", got)
	}
	r.east.ScriptDeployment("mystery", steps("rate-limit 100")...)
	r.expect(of("mystery", say("hello")), http.StatusTooManyRequests)
	r.east.ScriptDeployment("gpt-35-turbo", azuresim.Step{PauseAt: 3, Pause: 20 * time.Second})
	r.west.ScriptDeployment("d2", azuresim.Step{Delay: 20 * time.Second})
	for _, body := range []string{of("gpt-35-turbo", say("hello", stream)), of("d2", say("first")), of("d2", say("second")), of("d2", say("third", stream))} {
		r.late.Go(func() { r.expect(body, http.StatusOK) })
		synctest.Wait()
	}
}

// expect sends a request, and counts it.
func (r *reloads) expect(body string, status int) {
	r.t.Helper()
	got := r.chat(body)
	if got.status != status || got.err != nil || strings.Contains(body, stream) && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		r.t.Errorf("answered %d %v: %s", got.status, got.err, got.body)
	}
	r.served.Add(1)
}

// begin lets workers call without a pause, until over.
func (r *reloads) begin(workers int) {
	for i := range workers {
		r.load.Go(func() {
			body := say("hello")
			if i%2 == 0 {
				body = say("hello", stream)
			}
			for !r.over.Load() {
				r.expect(body, http.StatusOK)
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// end lets them come to their end.
func (r *reloads) end() {
	r.over.Store(true)
	r.load.Wait()
}

// known returns what must not change while nothing but time passes.
func (r *reloads) known() map[string]string {
	known := map[string]string{}
	for _, s := range r.gateway.Pool().States() {
		if s.Deployment != "west/gpt-4o-west" {
			known[s.Deployment] = s.Breaker + ", in flight " + strconv.Itoa(s.InFlight) + ", rests " + strconv.FormatBool(s.Rest > 0)
		}
	}
	return known
}

// TestReloadsUnderLoad is O2 and O3: a thousand configurations that are taken and
// twenty that are not, under load. No request fails, and nothing is forgotten: an
// open breaker, a rest, a stream under way, who waits in a queue, open leases, what
// was spent.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.reload(reloading()...)
		r := newReloads(w)
		r.occupy()
		w.west.ScriptDeployment("gpt-4o-west", paced(20_000)...)
		before := r.known()
		r.begin(6)
		defer r.end()
		for i := range 1000 {
			if _, err := w.gateway.Reload(r.good[i%2]); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				if _, err := w.gateway.Reload(r.bad); err == nil {
					t.Error("a key that cannot be read was taken")
				}
			}
			time.Sleep(time.Millisecond)
			if diff := cmp.Diff(before, r.known()); diff != "" {
				t.Fatalf("behind %d reloads (-before +now):\n%s", i+1, diff)
			}
		}
		under := r.served.Load()
		r.end()
		if under < 200 {
			t.Errorf("%d requests were served meanwhile: that is no load", under)
		}
		r.late.Wait()
		r.settled()
	})
}

// settled checks that every lease was settled and every cent is counted.
func (r *reloads) settled() {
	r.t.Helper()
	synctest.Wait()
	if got := r.unwell(); len(got) != 2 || got["east/gpt-4o-east"] != "open" || !strings.HasPrefix(got["east/mystery"], "rests") {
		r.t.Errorf("in the end: %v", got)
	}
	spent := usage.USD(0)
	r.mu.Lock()
	n := len(r.records)
	for _, rec := range r.records {
		spent += rec.Cost
	}
	r.mu.Unlock()
	if want := r.served.Load(); int64(n) != want {
		r.t.Errorf("%d records of %d requests", n, want)
	}
	if got := r.left(); got != usd(1000*usage.Dollar-spent) {
		r.t.Errorf("$%s are left, of $1000 behind %s", got, spent)
	}
	one := strings.NewReplacer("concurrency: 64", "concurrency: 1").Replace(strings.NewReplacer(reloading()...).Replace(plain))
	if _, err := r.gateway.Reload(configure(r.t, one)); err != nil {
		r.t.Fatal(err)
	}
	r.expect(of("gpt-35-turbo", say("hello")), http.StatusOK) // so no slot is taken
}

// TestReloadKeepsLevels holds that of a limit that changes the share is kept that is
// used, that an open request gives back the share that it took, and that a limit of
// a key comes and goes.
func TestReloadKeepsLevels(t *testing.T) {
	t.Parallel()
	limited := func(limits string) []string {
		return []string{`owner: "#search"`, `owner: "#search"` + "\n    limits: { " + limits + " }"}
	}
	bubble(t, plain, func(w *world) {
		left := func(when, limit, remaining string) {
			t.Helper()
			got := w.chat(say("hello"))
			if l, r := got.header.Get("X-Ratelimit-Limit-Requests"), got.header.Get("X-Ratelimit-Remaining-Requests"); got.status != http.StatusOK || l != limit || r != remaining {
				t.Errorf("%s: %d, %q of %q requests are left, want %q of %q", when, got.status, r, l, remaining, limit)
			}
			synctest.Wait()
		}
		w.east.Script(azuresim.Step{Fault: "400", Delay: time.Minute})
		done := make(chan reply)
		go func() { done <- w.chat(say("hello")) }()
		synctest.Wait()
		for want := 58; want >= 30; want-- {
			left("at first", "60", strconv.Itoa(want))
		}
		w.reload(limited("rpm: 120")...)
		left("of twice as many", "120", "59")
		w.reload(limited("rpm: 30")...)
		left("of a quarter", "30", "13")
		w.reload()
		left("of none", "", "")
		w.reload(limited("rpm: 60")...)
		left("of what it was, in the same moment", "60", "26")
		w.reload(append(limited("rpm: 60"), `value: "${SEARCH_KEY}"`, `value: "${SEARCH_KEY}", limits: { rpm: 1 }`)...)
		left("of the key's own", "1", "0")
		if got := w.chat(say("hello")); got.status != http.StatusTooManyRequests || !strings.Contains(got.message(), `Key "search-1"`) {
			t.Errorf("beyond the key's own: %d %s", got.status, got.body)
		}
		w.reload(limited("rpm: 60")...)
		left("without the key's own", "60", "24")
		<-done
	}, limited("rpm: 60")...)
}

// TestReloadKeepsFailures holds that whoever has guessed too many keys is throttled
// still.
func TestReloadKeepsFailures(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.guess("192.0.2.1:1")
		w.reload("aliases: [chat]", "aliases: [talk]")
		if status, body := w.from("192.0.2.1:1", "sk-guess-again"); status != http.StatusTooManyRequests {
			t.Errorf("behind a reload answered %d %s", status, body)
		}
	})
}

// TestReloadKeepsTokens holds that a credential which is configured as before keeps
// its token, and that another one is used from now on.
func TestReloadKeepsTokens(t *testing.T) {
	t.Parallel()
	issuer := new(signer)
	login, sim := httptest.NewTLSServer(issuer), azuresim.New(azuresim.Config{Key: "SENTINEL-NEW", Token: "SENTINEL-TOKEN-1"})
	defer login.Close()
	resource := httptest.NewServer(sim)
	defer resource.Close()
	g := credentialed(t, entraAuth, resource, login, t.Output())
	api := httptest.NewServer(g.API)
	defer api.Close()
	for i, step := range []struct {
		auth, more string
		issued     int32
		key        string // that arrives
	}{
		{entraAuth, "", 1, ""},
		{entraAuth, "resilience: { retry: { max_attempts: 2 } }\n", 1, ""},
		{`{ api_key: "${NEW}" }`, "", 1, "SENTINEL-NEW"},
		{strings.Replace(entraAuth, "app", "another", 1), "", 2, ""},
	} {
		if _, err := g.Reload(accredited(t, step.auth, step.more, resource, login)); err != nil {
			t.Fatal(err)
		}
		status, body := ask(t, api, nil)
		last := sim.Requests()[len(sim.Requests())-1]
		if want := http.StatusOK; i < 3 && status != want {
			t.Errorf("step %d: answered %d %s", i, status, body)
		}
		if n := issuer.issued.Load(); n < step.issued || i < 3 && n != step.issued || last.Header.Get("Api-Key") != step.key {
			t.Errorf("step %d: %d tokens were issued, want %d; the key is %q, want %q", i, n, step.issued, last.Header.Get("Api-Key"), step.key)
		}
	}
}

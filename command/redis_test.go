package command

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is what an answer tells of the limits.
type told struct {
	Status                              int
	Limit, Requests, Reset, Tokens, USD string
}

// TestReplicasTellOneTruth: each answer tells what is left for all replicas.
func TestReplicasTellOneTruth(t *testing.T) {
	redis := newStore(t)
	azure, endpoint := newAzure(t)
	all := newReplicas(t, sharing(endpoint, redis.url(), "on_error: closed, replicas: 3"+steady, "teams: { a: { limits: { rpm: 1, burst_requests: 4, tpm: 1, burst_tokens: 1000 }, budget: { usd: 1 } } }"))
	var got []told
	for i, explain := range []string{"", "", "1", "1", "", "", "", "1"} {
		before := len(azure.Requests())
		a := all[i%3].ask(t, "", "x-weir-explain", explain)
		h := a.header
		reset, _ := time.ParseDuration(h.Get("X-Ratelimit-Reset-Requests"))
		got = append(got, told{a.status, h.Get("X-Ratelimit-Limit-Requests"), h.Get("X-Ratelimit-Remaining-Requests"), minutes(reset), h.Get("X-Ratelimit-Remaining-Tokens"), h.Get("X-Weir-Budget-Remaining-Usd")})
		if explain == "1" {
			got[i] = explained(t, a.body)
			if len(azure.Requests()) != before {
				t.Error("what was to be explained was sent")
			}
		}
	}
	want := []told{
		{200, "1", "3", "1", "982", "0.99"},
		{200, "1", "2", "2", "964", "0.98"},
		{200, "1", "1", "3", "946", "0.97"}, // explained, and given back
		{200, "1", "1", "3", "946", "0.97"},
		{200, "1", "1", "3", "946", "0.97"},
		{200, "1", "0", "4", "928", "0.96"},
		{429, "1", "0", "4", "928", "0.96"},
		{429, "1", "0", "4", "928", "0.96"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	refused := all[0].ask(t, "")
	after, ms := refused.header.Get("Retry-After"), refused.header.Get("Retry-After-Ms")
	if refused.status != http.StatusTooManyRequests || after == "" || ms == "" {
		t.Errorf("answered %d, Retry-After %q, Retry-After-Ms %q", refused.status, after, ms)
	}
}

// minutes returns how many minutes have begun when a time is over.
func minutes(d time.Duration) string { return fmt.Sprint(math.Ceil(d.Minutes())) }

// explained returns what an explanation tells of the limits.
func explained(t *testing.T, body string) (out struct {
	Status                              int
	Limit, Requests, Reset, Tokens, USD string
},
) {
	t.Helper()
	var e struct {
		Decision string
		Status   int
		Limits   map[string]struct {
			Limit, Remaining json.Number
			Reset            float64 `json:"reset_seconds"`
		}
		Budget struct {
			Remaining float64 `json:"remaining_usd"`
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Errorf("%v: %s", err, body)
	}
	if out.Status = e.Status; e.Decision == "forward" {
		out.Status = http.StatusOK
	}
	r := e.Limits["requests"]
	out.Limit, out.Requests, out.Tokens = r.Limit.String(), r.Remaining.String(), e.Limits["tokens"].Remaining.String()
	out.Reset, out.USD = minutes(time.Duration(r.Reset*float64(time.Second))), fmt.Sprint(e.Budget.Remaining)
	return out
}

// TestReplicasRehearseTogether: limits that are only rehearsed are counted over all
// replicas too, and stop nothing.
func TestReplicasRehearseTogether(t *testing.T) {
	redis := newStore(t)
	_, endpoint := newAzure(t)
	all := newReplicas(t, sharing(endpoint, redis.url(), "on_error: local, replicas: 3"+steady, "teams: { a: { limits: { rpm: 1, burst_requests: 4, mode: shadow } } }"))
	var got []string
	for i := range 6 {
		a := all[i%3].ask(t, "")
		got = append(got, fmt.Sprint(a.status, a.header.Get("X-Weir-Policy")))
	}
	const passed, noted = "200", "200shadow: rate_limit_exceeded"
	if diff := cmp.Diff([]string{passed, passed, passed, passed, noted, noted}, got); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
}

// TestRedisThatIsNotThere: a gateway that cannot count starts, says so, and counts
// as soon as it can.
func TestRedisThatIsNotThere(t *testing.T) {
	_, endpoint := newAzure(t)
	const teams = "teams: { a: { limits: { rpm: 1, burst_requests: 30 } } }"
	tests := []struct {
		name string
		url  func(s *store) string
		mend func(s *store) // nil: it stays so
		args []string
		says string
	}{
		{name: "not reachable", url: (*store).url, mend: (*store).run},
		{name: "a wrong password", url: func(s *store) string { return strings.Replace(s.url(), "//", "//:wrong-secret@", 1) }, mend: func(s *store) {
			c := s.client.Conn()
			defer c.Close()
			if err := c.Auth(t.Context(), "right-secret").Err(); err != nil {
				t.Error(err)
			}
			if err := c.ConfigSet(t.Context(), "requirepass", "wrong-secret").Err(); err != nil {
				t.Error(err)
			}
		}, args: []string{"--requirepass", "right-secret"}, says: "WRONGPASS"},
		{name: "no password", url: (*store).url, args: []string{"--requirepass", "right-secret"}, says: "NOAUTH"},
		{name: "a port where nobody listens", url: func(*store) string { return "redis://127.0.0.1:1" }, says: "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			redis := newStore(t, tt.args...)
			if tt.says == "" {
				redis.kill()
			}
			r := newReplica(t, sharing(endpoint, tt.url(redis), "on_error: local, replicas: 3"+steady, teams))
			r.at(t, onOwn)
			line := r.log.wait(t, "Redis is away: the limits hold for each process by itself")
			if text := fmt.Sprint(line["error"]); !strings.Contains(text, tt.says) {
				t.Errorf("it says %q", text)
			}
			for i := range 10 {
				if got := r.ask(t, ""); got.status != http.StatusOK || got.header.Get("X-Ratelimit-Limit-Requests") != "1" {
					t.Errorf("request %d of its share is answered %d %s", i, got.status, got.body)
				}
			}
			if tt.mend != nil {
				tt.mend(redis)
				r.at(t, onRedis)
				r.told(t)
			}
			if n := strings.Count(r.log.String(), "Redis is away"); n != 1 {
				t.Errorf("it said so %d times", n)
			}
			if all := r.log.String() + r.limits(t); strings.Contains(all, "-secret") {
				t.Errorf("a password is shown: %s", all)
			}
		})
	}
}

// TestRedisURLIsChecked: what can never be the URL of a Redis is found before
// anything is started, where it stands, and no password is shown.
func TestRedisURLIsChecked(t *testing.T) {
	const place = `>   6 | state: { limits: { store: redis, url: "${TEST_REDIS}"`
	both, late := []string{"validate", "serve"}, []string{"serve"}
	tests := []struct {
		name, url string
		commands  []string // that find it
		says      string
	}{
		{"another scheme", "http://:hunter2@cache:6379", both, place},
		{"no scheme", "cache:6379", both, place},
		{"no host", "redis://", both, place},
		{"a port that is none", "redis://:hunter2@cache:port", both, place},
		{"a port too high", "redis://:hunter2@cache:70000", both, place},
		{"a database that is none", "redis://:hunter2@cache:6379/first", both, place},
		{"a password with a slash", "redis://:hunter2/hunter2@cache:6379", both, place},
		{"a password with a hash", "redis://:hunter2#hunter2@cache:6379", both, place},
		{"a bad escape", "redis://:hunter2%zz@cache:6379", both, place},
		{"an option that is not known", "redis://:hunter2@cache:6379/0?tiemout=5s", late, `state.limits`},
		{"an option that is not a number", "redis://:hunter2@cache:6379/0?pool_size=many", late, `state.limits`},
		{"a cluster with a database", "redis://:hunter2@cache:6379/1?addr=other:6379", late, `state.limits`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TEST_REDIS", tt.url)
			text := sharing("https://example.openai.azure.com", "${TEST_REDIS}", "on_error: local", "")
			for _, command := range tt.commands {
				got := weir(t, "", command, "-c", write(t, "weir.yaml", text))
				all := got.out + got.err
				if got.code != exitError || !strings.Contains(all, tt.says) {
					t.Errorf("%s ends with %d and says\n%s", command, got.code, all)
				}
				if strings.Contains(all, "hunter2") {
					t.Errorf("%s shows the password:\n%s", command, all)
				}
			}
		})
	}
}

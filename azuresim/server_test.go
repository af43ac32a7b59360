package azuresim_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"weir/azuresim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is one request at a time, and what is wanted of its answer.
type exchange struct {
	at     time.Duration
	body   string
	status int
	header map[string]string
}

// run sends each request at its time and compares status and headers.
func run(t *testing.T, cfg azuresim.Config, path string, list []exchange) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client := serve(t, azuresim.New(cfg))
		begun := time.Now()
		for i, x := range list {
			time.Sleep(x.at - time.Since(begun))
			r := post(t.Context(), client, path, x.body)
			if r.status != x.status {
				t.Errorf("request %d at %v: status %d, want %d: %s", i, x.at, r.status, x.status, r.body)
			}
			for name, want := range x.header {
				if got := r.header.Get(name); got != want {
					t.Errorf("request %d at %v: %s is %q, want %q", i, x.at, name, got, want)
				}
			}
		}
	})
}

func TestAdmissionOfTokens(t *testing.T) {
	t.Parallel()
	// A prompt of 10 tokens: 3, 3 for the message, 4 for its 14 bytes.
	ask := func(more string) string { return user("fourteen bytes", more) }
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o": {TPM: 100}}}
	run(t, cfg, classicPath, []exchange{
		{0, ask(""), 200, map[string]string{"x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "74", "x-ratelimit-limit-requests": ""}},
		{time.Second, ask(`,"max_tokens":50`), 200, map[string]string{"x-ratelimit-remaining-tokens": "14"}},
		{2500 * time.Millisecond, ask(""), 429, map[string]string{"retry-after": "58", "retry-after-ms": "57500", "x-ratelimit-reset-tokens": "58"}},
		{3 * time.Second, ask(`,"max_tokens":1`), 200, map[string]string{"x-ratelimit-remaining-tokens": "3"}},
		{3 * time.Second, ask(`,"max_tokens":91`), 429, map[string]string{"retry-after": "86400"}},
		{3 * time.Second, ask(`,"max_tokens":41,"n":2`), 429, map[string]string{"retry-after": "60", "retry-after-ms": "60000"}},
		{59999 * time.Millisecond, ask(""), 429, map[string]string{"retry-after": "1", "retry-after-ms": "1"}},
		{60 * time.Second, ask(""), 200, map[string]string{"x-ratelimit-remaining-tokens": "3"}},
	})
}

func TestAdmissionOfCalls(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o": {RPM: 12}}}
	run(t, cfg, classicPath, []exchange{
		{0, user("a"), 200, map[string]string{"x-ratelimit-limit-requests": "12", "x-ratelimit-remaining-requests": "11"}},
		{4 * time.Second, user("!server-error"), 500, map[string]string{"x-ratelimit-remaining-requests": "10"}},
		{5 * time.Second, user("a"), 429, map[string]string{"retry-after": "5", "x-ratelimit-reset-requests": "5"}},
		{10 * time.Second, user("a"), 200, nil},
		{11 * time.Second, user("a"), 429, map[string]string{"retry-after": "3"}},
		{14 * time.Second, user("a"), 200, nil},
	})
}

func TestProvisionedThroughputIsABucket(t *testing.T) {
	t.Parallel()
	const util = "azure-openai-deployment-utilization"
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o": {TPM: 6000, Provisioned: true}}}
	ask := user("fourteen bytes", `,"max_tokens":2990`)
	long := user("!words 4000", `,"max_tokens":2990`)
	run(t, cfg, classicPath, []exchange{
		{0, ask, 200, map[string]string{util: "50%"}},
		{0, long, 200, map[string]string{util: "50%"}}, // the first gave back what it did not use
		{0, long, 200, map[string]string{util: "100%"}},
		{0, ask, 429, map[string]string{"retry-after": "1", util: "100%"}},
		{time.Second, ask, 200, nil}, // 100 tokens a second leak
	})
}

func TestUnicodeFaultIsCuredByCooling(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o": {}, "o4": {Reasoning: true}}}
	const o4 = "/openai/v1/chat/completions"
	reasoning := strings.Replace(user("!unicode-500"), "gpt-4o", "o4", 1)
	for _, tt := range []struct {
		name string
		path string
		list []exchange
	}{
		{"by temperature", classicPath, []exchange{
			{0, user("!unicode-500"), 500, nil},
			{0, user("!unicode-500", `,"temperature":1.2`), 500, nil},
			{0, user("!unicode-500", `,"temperature":0.75`), 200, nil},
			{0, user("!unicode-500"), 500, nil},
			{0, user("!special-token-500"), 500, nil},
			{0, user("!special-token-500", `,"temperature":0.75`), 200, nil},
		}},
		{"by repeating, for a reasoning model", o4, []exchange{{0, reasoning, 500, nil}, {0, reasoning, 200, nil}}},
		{"by count, whatever the temperature", classicPath, []exchange{
			{0, user("!unicode-500*2", `,"temperature":0`), 500, nil},
			{0, user("!unicode-500*2", `,"temperature":0`), 500, nil},
			{0, user("!unicode-500*1 other"), 500, nil},
			{0, user("!unicode-500*2", `,"temperature":0`), 200, nil},
			{0, user("!unicode-500*2"), 500, nil},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run(t, cfg, tt.path, tt.list)
		})
	}
}

func TestFaultsCombine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := post(t.Context(), serve(t, azuresim.New(azuresim.Config{})), classicPath, user("!slow;rate-limit 3"))
		if took := time.Since(begun); r.status != 429 || took != 3*time.Second {
			t.Errorf("status %d after %v", r.status, took)
		}
		r = post(t.Context(), serve(t, azuresim.New(azuresim.Config{})), classicPath, user("hi", streamed), "x-azuresim-fault", "crlf;no-done")
		if !strings.HasSuffix(r.body, "\r\n\r\n") || strings.Contains(r.body, "[DONE]") {
			t.Errorf("got %s", r.body)
		}
	})
}

func TestScriptAnswersInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := azuresim.New(azuresim.Config{Key: "secret"})
		sim.Script(azuresim.Step{Status: 503, Body: "first", Header: http.Header{"retry-after": {"9"}}}, azuresim.Step{Chunks: []string{"data: a\n\n", "data: b\n\n"}, Gap: time.Second})
		sim.ScriptDeployment("GPT-4O", azuresim.Step{Content: "own", FinishReason: "length"})
		client := serve(t, sim)
		begun := time.Now()
		r := post(t.Context(), client, classicPath, user("x"), "api-key", "secret")
		if !strings.Contains(r.body, `"content":"own"`) || !strings.Contains(r.body, `"finish_reason":"length"`) {
			t.Errorf("the deployment's own step: %+v", r)
		}
		if r = post(t.Context(), client, "/anywhere", ""); r.status != 503 || r.body != "first" || r.header.Get("Retry-After") != "9" {
			t.Errorf("first: %+v", r)
		}
		if r = post(t.Context(), client, classicPath, user("x")); r.body != "data: a\n\ndata: b\n\n" || time.Since(begun) != time.Second {
			t.Errorf("second after %v: %+v", time.Since(begun), r)
		}
		if r = post(t.Context(), client, classicPath, user("x")); r.status != 401 {
			t.Errorf("after the script: %+v", r)
		}
		sim.Script(azuresim.Step{Status: 500})
		sim.Reset()
		if n := len(sim.Requests()); n != 0 {
			t.Errorf("%d requests after Reset", n)
		}
		if r = post(t.Context(), client, classicPath, user("x")); r.status != 401 {
			t.Errorf("after Reset: %+v", r)
		}
	})
}

func TestRecordSaysWhatArrivedAndWasServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := azuresim.New(azuresim.Config{Deployments: map[string]azuresim.Deployment{"gpt-4o": {Latency: time.Second, Gap: time.Second}}})
		client := serve(t, sim)
		began := time.Now()
		body := user("!words 40", streamed)
		post(t.Context(), client, classicPath, body, "x-a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond) // after two chunks of text
		defer cancel()
		gone := post(ctx, client, classicPath, body)
		if !errors.Is(gone.err, context.DeadlineExceeded) {
			t.Errorf("error is %v", gone.err)
		}
		post(t.Context(), client, classicPath, user("!words 40"))
		synctest.Wait()
		want := []azuresim.Request{
			{Time: began, PromptTokens: 9, CompletionTokens: 68},
			{Time: began.Add(14 * time.Second), PromptTokens: 9, CompletionTokens: 6, Cancelled: true},
			{Time: began.Add(17500 * time.Millisecond), PromptTokens: 9, CompletionTokens: 68},
		}
		got := sim.Requests()
		if got[0].Header.Get("X-A") != "b" || string(got[0].Body) != body {
			t.Errorf("first request is %+v", got[0])
		}
		for i := range got {
			r := &got[i]
			if r.Method != http.MethodPost || r.Path != "/openai/deployments/gpt-4o/chat/completions" || r.RawQuery != "api-version=2024-10-21" || r.Deployment != "gpt-4o" || r.Status != 200 || !r.Done {
				t.Errorf("request %d is %+v", i, *r)
			}
			*r = azuresim.Request{Time: r.Time, PromptTokens: r.PromptTokens, CompletionTokens: r.CompletionTokens, Cancelled: r.Cancelled}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

func TestStepShapesAStream(t *testing.T) {
	t.Parallel()
	whole := chunks(ask(t, azuresim.Config{}, classicPath, user("hi", streamed)).body)
	for _, tt := range []struct {
		name string
		step azuresim.Step
		want []string
		took time.Duration
	}{
		{"cut after two events", azuresim.Step{CutEvents: 2}, whole[:2], 0},
		{"cut in the middle of the third", azuresim.Step{CutEvents: 2, CutMid: true}, append(whole[:2:2], whole[2][:(len("data: ")+len(whole[2])+2)/2-len("data: ")]), 0},
		{"cut after two events of content", azuresim.Step{CutEvents: 2, OfContent: true}, whole[:4], 0},
		{"injection before the first", azuresim.Step{Inject: "data: x\n\n"}, append([]string{"x"}, whole...), 0},
		{"injection after one", azuresim.Step{Inject: "data: x\n\n", InjectAt: 1, CutEvents: 1}, []string{whole[0], "x"}, 0},
		{"a pause", azuresim.Step{Pause: 9 * time.Second, PauseAt: 3}, whole, 9 * time.Second},
		{"gaps", azuresim.Step{Gap: time.Second, Delay: time.Second}, whole, time.Duration(len(whole)) * time.Second},
		{"no end", azuresim.Step{NoDone: true}, whole[:len(whole)-1], 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				sim := azuresim.New(azuresim.Config{})
				sim.Script(tt.step)
				r := post(t.Context(), serve(t, sim), classicPath, user("hi", streamed))
				if diff := cmp.Diff(tt.want, chunks(r.body)); diff != "" || r.err != nil {
					t.Errorf("error %v, events (-want +got):\n%s", r.err, diff)
				}
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	whole := ask(t, azuresim.Config{}, classicPath, user("hi", streamed)).body
	for _, k := range []int{1, 2, 100, len(whole) / 2, len(whole) - 1} {
		for _, reset := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				sim := azuresim.New(azuresim.Config{})
				sim.Script(azuresim.Step{CutBytes: k, Reset: reset})
				r := post(t.Context(), serve(t, sim), classicPath, user("hi", streamed))
				if r.body != whole[:k] || (r.err != nil) != reset {
					t.Errorf("cut at %d, reset %t: %d bytes, error %v", k, reset, len(r.body), r.err)
				}
			})
		}
	}
}

// A pipe cannot be reset, so this one goes over TCP.
func TestResetIsATCPReset(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(azuresim.New(azuresim.Config{}))
	defer server.Close()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+classicPath, strings.NewReader(user("!reset-stream", streamed)))
	resp, err := server.Client().Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error is %v", err)
	}
	server.Client().CloseIdleConnections()
}

func TestModelsAreListed(t *testing.T) {
	t.Parallel()
	cfg := azuresim.Config{Deployments: map[string]azuresim.Deployment{"a": {Model: "gpt-4o"}, "b": {Model: "gpt-4o"}, "c": {Model: "o4-mini"}}}
	const gpt4o, o4 = `{"created":1730000000,"id":"gpt-4o","object":"model","owned_by":"azure"}`, `{"created":1730000000,"id":"o4-mini","object":"model","owned_by":"azure"}`
	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/openai/v1/models", 200, `{"data":[` + gpt4o + `,` + o4 + `],"object":"list"}`},
		{"/v1/models/gpt-4o", 200, gpt4o},
		{"/openai/models?api-version=2024-10-21", 200, `"lifecycle_status":"generally-available"`},
		{"/openai/models", 404, "Resource not found"},
		{"/openai/v1/models/x", 404, "model_not_found"},
		{"/openai/v1/embeddings", 404, "Resource not found"},
	} {
		w := httptest.NewRecorder()
		azuresim.New(cfg).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("GET %s: %d %s", tt.path, w.Code, w.Body)
		}
	}
}

func TestConversationOfThirtyTurns(t *testing.T) {
	t.Parallel()
	sim := azuresim.New(azuresim.Config{Now: func() time.Time { return time.Unix(7, 0) }, Region: "Sweden Central"})
	messages := `{"role":"system","content":"You are a helpful assistant."}`
	for turn := range 30 {
		messages += `,{"role":"user","content":"question"}`
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, classicPath, strings.NewReader(`{"messages":[`+messages+`]}`)))
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"created":7,`) || w.Header().Get("x-ms-region") != "Sweden Central" {
			t.Fatalf("turn %d: %d %s", turn, w.Code, w.Body)
		}
		messages += `,{"role":"assistant","content":"answer"}`
	}
}

func TestRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	for remember, want := range map[int]string{0: "a b c d", 1: "d", 3: "b c d", 9: "a b c d"} {
		sim := azuresim.New(azuresim.Config{Remember: remember})
		ids := map[string]bool{}
		for model := range strings.FieldsSeq("a b c d") {
			ids[idOf(t, call(t, sim, http.MethodPost, "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hello"}]}`))] = true
		}
		var got []string
		for _, r := range sim.Requests() {
			got = append(got, r.Deployment)
		}
		if said := strings.Join(got, " "); said != want || len(ids) != 4 {
			t.Errorf("of the latest %d requests it remembers %q, want %q; ids %v", remember, said, want, ids)
		}
	}
}

package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/usage"
)

// knocking is an upload whose sender waits to be told that its body is wanted.
type knocking struct {
	w    *world
	conn net.Conn
	in   *bufio.Reader
	body string
}

// knock sends the head of an upload.
func (w *world) knock(path, key string, fields []field) *knocking {
	w.t.Helper()
	body, kind := written(w.t, fields...)
	k := &knocking{w: w, conn: w.connect(), body: body}
	k.in = bufio.NewReader(k.conn)
	k.say("POST " + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + key + "\r\nContent-Type: " + kind +
		"\r\nExpect: 100-continue\r\n" + length(body) + "\r\n\r\n")
	return k
}

func (k *knocking) say(text string) {
	k.w.t.Helper()
	if _, err := io.WriteString(k.conn, text); err != nil {
		k.w.t.Fatal(err)
	}
}

// hear reads what the gateway says next: 100 where it has begun to read the body.
func (k *knocking) hear() reply {
	k.w.t.Helper()
	start := time.Now()
	resp, err := http.ReadResponse(k.in, nil)
	if err != nil {
		k.w.t.Fatal(err)
	}
	got := k.w.finish(resp)
	if resp.Close {
		got.header.Set("Connection", "close")
	}
	got.took = time.Since(start)
	return got
}

// refused checks that an upload is refused for want of a slot before any of its body
// is read, and that the connection does not stay open for it.
func (k *knocking) refused() {
	k.w.t.Helper()
	got := k.hear()
	code, _, kind := got.code()
	if got.status != http.StatusTooManyRequests || code != "rate_limit_exceeded" || kind != "requests" || got.took != 0 {
		k.w.t.Errorf("answered %d after %v: %s", got.status, got.took, got.body)
	}
	h := got.header
	if h.Get("Retry-After") != "1" || h.Get("Retry-After-Ms") != "1000" || h.Get("Connection") != "close" || h.Get("X-Ratelimit-Limit-Requests") != "60" {
		k.w.t.Errorf("answered with %v", h)
	}
	start := time.Now()
	if _, err := k.in.ReadByte(); err != io.EOF {
		k.w.t.Errorf("and then %v", err)
	}
	if open := time.Since(start); open > time.Second {
		k.w.t.Errorf("the connection was open for %v", open)
	}
	if rec := k.w.record(); rec.Outcome != usage.RefusedLimit || rec.Limit != usage.ConcurrencyLimit || rec.Reserved != 0 || len(rec.Attempts) != 0 {
		k.w.t.Errorf("recorded %+v", rec)
	}
}

// kinds are uploads of each kind, which are not held in memory alone.
func kinds() map[string][]field {
	content := strings.Repeat("x", 600<<10)
	return map[string][]field{
		"/v1/audio/transcriptions": {{"file", "a.wav", "audio/wav", content}, {"model", "", "", "whisper"}},
		"/v1/audio/translations":   {{"file", "a.wav", "audio/wav", content}, {"model", "", "", "whisper"}},
		"/v1/images/edits":         {{"image", "a.png", "image/png", content}, {"prompt", "", "", "a cat"}, {"model", "", "", "gpt-image-1"}},
		"/v1/files":                {{"purpose", "", "", "user_data"}, {"file", "a.txt", "text/plain", content}},
		"/v1/vector_stores":        {{"file", "a.txt", "text/plain", content}},
	}
}

// uploading are the edits of a gateway that takes uploads of each kind from both
// teams, of which search has limits.
func uploading(t *testing.T, limits string) []string {
	t.Helper()
	_, edits := forms(t)
	return slices.Concat([]string{
		"models: [gpt-35-turbo]", "models: [gpt-35-turbo, whisper, gpt-image-1]",
		"teams:\n", "passthrough: [{ path: vector_stores, backend: east }]\nteams:\n",
	}, edits, limited(limits))
}

// TestUploadsAskTheLimitsFirst holds that nothing of an upload is read whose team has
// no slot left, while another one of the team comes slowly, and that another team's
// goes through.
func TestUploadsAskTheLimitsFirst(t *testing.T) {
	t.Parallel()
	for path, fields := range kinds() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				slow := w.knock(path, searchKey, fields)
				if got := slow.hear(); got.status != http.StatusContinue {
					t.Fatalf("answered %d %s", got.status, got.body)
				}
				half := len(slow.body) / 2
				slow.say(slow.body[:half])
				synctest.Wait()

				w.knock(path, searchKey, fields).refused()
				_, kind := written(t, fields...)
				blunt := &knocking{w: w, conn: w.connect()} // does not wait to be told, and comes slowly
				blunt.in = bufio.NewReader(blunt.conn)
				blunt.say("POST " + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + searchKey + "\r\nContent-Type: " + kind + "\r\nContent-Length: 9000\r\n\r\n")
				if got := blunt.hear(); got.status != http.StatusTooManyRequests || got.took != 0 || got.header.Get("Connection") != "close" {
					t.Errorf("answered %d after %v: %v", got.status, got.took, got.header)
				}
				if n := len(w.asked()); n != 0 {
					t.Errorf("%d calls", n)
				}
				other := w.knock(path, otherKey, fields)
				if got := other.hear(); got.status != http.StatusContinue {
					t.Errorf("the other team's: answered %d %s", got.status, got.body)
				}
				other.say(other.body)
				if got := other.hear(); got.status == http.StatusTooManyRequests || len(w.asked()) != 1 {
					t.Errorf("the other team's: answered %d %s", got.status, got.body)
				}
				slow.say(slow.body[half:])
				if got := slow.hear(); got.status == http.StatusTooManyRequests || len(w.asked()) != 2 {
					t.Errorf("the slow one: answered %d %s", got.status, got.body)
				}
				synctest.Wait()
				if got := w.post(path, fields); got.status == http.StatusTooManyRequests || len(w.asked()) != 3 {
					t.Errorf("when all are over: answered %d %s", got.status, got.body)
				}
			}, uploading(t, "concurrency: 1, rpm: 60")...)
		})
	}
}

// TestUploadsExplainedTakeNothing holds that an upload that asks what would become of
// it is not read either where its team is over a limit, and that it takes nothing.
func TestUploadsExplainedTakeNothing(t *testing.T) {
	t.Parallel()
	const path = "/v1/audio/transcriptions"
	bubble(t, plain, func(w *world) {
		slow := w.knock(path, searchKey, speech("whisper"))
		slow.hear()
		if got := w.post(path, speech("whisper"), "x-weir-explain", "1"); got.status != http.StatusTooManyRequests {
			t.Errorf("answered %d %s", got.status, got.body)
		}
		slow.say(slow.body)
		if got := slow.hear(); got.status != http.StatusOK {
			t.Errorf("answered %d %s", got.status, got.body)
		}
		synctest.Wait()
		for range 3 { // each would be the last
			if got := w.post(path, speech("whisper"), "x-weir-explain", "1"); got.status != http.StatusOK || !strings.Contains(got.body, `"decision":"forward"`) || !strings.Contains(got.body, `"limit":1,"remaining":0`) {
				t.Errorf("answered %d %s", got.status, got.body)
			}
		}
	}, uploading(t, "concurrency: 1, rpm: 1, burst_requests: 2")...)
}

// TestUploadsSettle is what each ending of an upload takes from the allowance, and
// that its slot is free again.
func TestUploadsSettle(t *testing.T) {
	t.Parallel()
	const served = -1 // as many tokens as the resource says it served
	const path, model = "/v1/audio/transcriptions", "gpt-4o-transcribe"
	fails := func(name string) []azuresim.Step { return []azuresim.Step{{Fault: name}} }
	hear := func(fields ...field) func(w *world) reply {
		return func(w *world) reply { return w.post(path, fields) }
	}
	// leave sends half of an upload and then what is told, or waits.
	leave := func(then func(k *knocking)) func(w *world) reply {
		return func(w *world) reply {
			k := w.knock(path, searchKey, speech(model))
			k.hear()
			k.say(k.body[:len(k.body)/2])
			synctest.Wait()
			then(k)
			return reply{}
		}
	}
	large := speech(model)
	large[0].value = sound(60)
	long := append(speech(model), field{"prompt", "", "", strings.Repeat("word ", 11_000)})
	tests := []struct {
		name       string
		do         func(w *world) reply
		east, west []azuresim.Step
		edits      []string
		status     int
		requests   int64
		tokens     int64
	}{
		{name: "answered", do: hear(speech(model)...), status: 200, requests: 1, tokens: served},
		{name: "streamed", do: hear(speech(model, field{"stream", "", "", "true"})...), status: 200, requests: 1, tokens: served},
		{name: "answered elsewhere", do: hear(speech(model)...), east: fails("rate-limit"), status: 200, requests: 1, tokens: served},
		{name: "paid by the second", do: hear(speech("whisper")...), status: 200, requests: 1},
		{name: "refused upstream", do: hear(speech(model)...), east: fails("content-filter"), status: 400, requests: 1},
		{name: "throttled by all", do: hear(speech(model)...), east: fails("rate-limit"), west: fails("rate-limit"), status: 429, requests: 1},
		{name: "no deployment can be reached", do: hear(speech(model)...), status: 502, edits: []string{"127.0.0.1:81", "127.0.0.1:83", "127.0.0.1:82", "127.0.0.1:84"}},
		{name: "a bad form", do: hear(speech(model, field{"model", "", "", "again"})...), status: 400},
		{name: "an unknown model", do: hear(speech("nope")...), status: 404},
		{name: "refused by a limit once it was read", do: hear(long...), status: 400},
		{name: "no room", do: func(w *world) reply {
			k := w.knock(path, otherKey, slices.Replace(slices.Clone(large), 1, 2, field{"model", "", "", "whisper"}))
			k.hear()
			k.say(k.body[:len(k.body)-9])
			synctest.Wait()
			defer func() { k.say(k.body[len(k.body)-9:]); k.hear() }()
			return w.post(path, large)
		}, status: 503},
		{name: "the client leaves while it sends", do: leave(func(k *knocking) { _ = k.conn.Close() })},
		{name: "too slow", do: leave(func(k *knocking) {
			if got := k.hear(); got.status != http.StatusRequestTimeout {
				k.w.t.Errorf("answered %d %s", got.status, got.body)
			}
		})},
		{name: "the client leaves while it waits", do: func(w *world) reply {
			ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
			defer cancel()
			body, kind := written(w.t, speech(model)...)
			w.do(ctx, http.MethodPost, path, body, "Content-Type", kind)
			return reply{}
		}, east: []azuresim.Step{{Hang: true}}, requests: 1, tokens: 20},
		{name: "explained", do: func(w *world) reply { return w.post(path, speech(model), "x-weir-explain", "1") }, status: 200},
		{name: "a file", do: func(w *world) reply { return w.uploads("user_data", "a.txt", "x") }, status: 200, requests: 1},
		{name: "a file without a purpose", do: func(w *world) reply { return w.uploads("", "a.txt", "x") }, status: 400},
		{name: "a file of a batch that may not be sent", do: func(w *world) reply { return w.uploads("batch", "a.jsonl", "x") }, status: 400},
		{name: "a passage", do: func(w *world) reply { return w.post("/v1/vector_stores", kinds()["/v1/vector_stores"]) }, status: 404, requests: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				w.west.Script(tt.west...)
				if got := tt.do(w); got.status != tt.status {
					t.Errorf("answered %d: %s", got.status, got.body)
				}
				want := tt.tokens
				if want == served {
					last := w.asked()[len(w.asked())-1]
					want = int64(last.PromptTokens + last.CompletionTokens)
				}
				w.east.Script()
				if tt.edits != nil { // nor can the probe be served
					w.record()
					if got := w.chat(say("hi", `"max_tokens":1`)); number(t, got, "X-Ratelimit-Remaining-Requests") != fullOfRequests-1 {
						t.Errorf("%s requests are left", got.header.Get("X-Ratelimit-Remaining-Requests"))
					}
					return
				}
				if requests, tokens := w.spent(); requests != tt.requests || tokens != want {
					t.Errorf("it took %d requests and %d tokens, want %d and %d", requests, tokens, tt.requests, want)
				}
				time.Sleep(time.Second) // the server waits for a client that still sends
			}, append(tt.edits, uploading(t, measured)...)...)
		})
	}
}

// TestUploadsTakeOneSlot holds that an upload counts once against each limit,
// however many come at once: all that fit are served, and no more.
func TestUploadsTakeOneSlot(t *testing.T) {
	t.Parallel()
	tests := []struct {
		limits string
		served int
	}{
		{"concurrency: 5", 5},
		{"concurrency: 20", 20},
		{"rpm: 7, burst_requests: 7", 7},
		{"tpm: 100, burst_tokens: 100", 5}, // 20 each
		{"rpm: 3, concurrency: 3, tpm: 60", 3},
	}
	for _, tt := range tests {
		t.Run(tt.limits, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				const clients = 20
				for range clients {
					w.east.Script(azuresim.Step{Delay: time.Second})
				}
				replies := make([]reply, clients)
				var all sync.WaitGroup
				for i := range replies {
					all.Go(func() { replies[i] = w.post("/v1/audio/transcriptions", speech("gpt-4o-transcribe")) })
				}
				all.Wait()
				served := 0
				for _, r := range replies {
					switch {
					case r.status == http.StatusOK:
						served++
					case r.status != http.StatusTooManyRequests || r.header.Get("Retry-After-Ms") == "":
						t.Errorf("answered %d %v: %s", r.status, r.header, r.body)
					}
				}
				if asked := len(w.asked()); served != tt.served || asked != served {
					t.Errorf("%d were served by %d calls, want %d", served, asked, tt.served)
				}
				time.Sleep(time.Second) // the server waits for clients that still send
			}, uploading(t, tt.limits)...)
		})
	}
}

// TestUploadsTellTheirLimits holds that an upload is told and recorded of as what is
// taken of the allowance in one step.
func TestUploadsTellTheirLimits(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for i := range int64(2) {
			got := w.post("/v1/audio/transcriptions", speech("gpt-4o-transcribe"))
			rec := w.record()
			if got.status != http.StatusOK || rec.Reserved != 20 || rec.ReservedCost == 0 {
				t.Fatalf("%d %s, recorded %+v", got.status, got.body, rec)
			}
			if n := number(t, got, "X-Ratelimit-Remaining-Requests"); n != 100-2*i-1 {
				t.Errorf("%d requests are left of upload %d", n, i)
			}
			if n := number(t, got, "X-Ratelimit-Remaining-Tokens"); i == 0 && n != 10_000-20 {
				t.Errorf("%d tokens are left", n)
			}
			got = w.post("/v1/files", kinds()["/v1/files"])
			if rec := w.record(); got.status != http.StatusOK || rec.Reserved != 0 || rec.ReservedCost != 0 {
				t.Fatalf("%d %s, recorded %+v", got.status, got.body, rec)
			}
		}
	}, uploading(t, measured)...)
}

// TestUploadsInDebt holds that who has used more than the allowance is told so, and
// until when, before an upload is read.
func TestUploadsInDebt(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Status: 200, Body: strings.Replace(oddAnswer, `"completion_tokens":5`, `"completion_tokens":11981`, 1)})
		if got := w.chat(say("hello", `"max_tokens":1`)); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
		synctest.Wait()
		got := w.knock("/v1/files", searchKey, kinds()["/v1/files"]).hear()
		want := `Team "search" has used more than its 6000 tokens per minute. Next slot in 20s. ` +
			"To raise it, ask #search to change teams.search.limits.tpm. (docs/errors.md#rate_limit_exceeded)"
		if got.status != http.StatusTooManyRequests || got.message() != want || got.header.Get("Retry-After-Ms") != "20000" {
			t.Errorf("answered %d %v: %s", got.status, got.header, got.body)
		}
		time.Sleep(20 * time.Second)
		if got := w.post("/v1/files", kinds()["/v1/files"]); got.status != http.StatusOK {
			t.Errorf("answered %d %s", got.status, got.body)
		}
	}, uploading(t, "tpm: 6000, burst_tokens: 10000")...)
	bubble(t, plain, func(w *world) {
		w.east.Script(azuresim.Step{Status: 200, Body: oddAnswer})
		if got := w.chat(say("hello", `"max_tokens":1`)); got.status != http.StatusOK {
			t.Fatal(got.body)
		}
		synctest.Wait()
		got := w.knock("/v1/files", searchKey, kinds()["/v1/files"]).hear()
		if code, _, _ := got.code(); got.status != http.StatusTooManyRequests || code != "insufficient_quota" || got.header.Get("X-Should-Retry") != "false" || !strings.HasPrefix(got.message(), `Team "search" has spent more than its budget of $0.005. The next one begins in `) {
			t.Errorf("answered %d %v: %s", got.status, got.header, got.body)
		}
	}, append(twoPrices(), uploading(t, "rpm: 60 }\n    budget: { usd: 0.005")...)...)
}

// TestUploadsRehearse holds that limits which let pass do so before and after an
// upload is read, and say what they would have refused it for; what they would have
// refused takes nothing of them.
func TestUploadsRehearse(t *testing.T) {
	t.Parallel()
	const path = "/v1/audio/transcriptions"
	tests := []struct {
		name, limits string
		do           func(w *world) reply
		want         []string // the codes of each upload in turn
		limit        usage.Limit
	}{
		{name: "requests", limits: "rpm: 1, burst_requests: 2", want: []string{"", "", "rate_limit_exceeded", "rate_limit_exceeded"}, limit: usage.RequestLimit},
		{name: "tokens", limits: "tpm: 1, burst_tokens: 1000, rpm: 1, burst_requests: 2", want: []string{"", "", "rate_limit_exceeded"}, limit: usage.RequestLimit},
		{name: "a debt of tokens", limits: "tpm: 1, burst_tokens: 1", want: []string{"", "rate_limit_exceeded"}, limit: usage.TokenLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				for i, want := range tt.want {
					got := w.post(path, speech("gpt-4o-transcribe"))
					rec := w.record()
					noted := strings.TrimPrefix(got.header.Get("X-Weir-Policy"), "shadow: ")
					if got.status != http.StatusOK || noted != want || strings.Join(rec.Shadowed, ", ") != want || want != "" && rec.ShadowLimit != tt.limit {
						t.Errorf("%d: answered %d, %q, recorded %q of %q: %s", i, got.status, noted, rec.Shadowed, rec.ShadowLimit, got.body)
					}
				}
			}, uploading(t, tt.limits+", mode: shadow")...)
		})
	}
}

// TestUploadsRehearsedTakeNothing holds that an upload whose tokens the limits would
// have refused, which let pass, leaves its request and its slot to others in them.
func TestUploadsRehearsedTakeNothing(t *testing.T) {
	t.Parallel()
	const path = "/v1/audio/transcriptions"
	long := append(speech("gpt-4o-transcribe"), field{"prompt", "", "", strings.Repeat("word ", 2000)})
	bubble(t, plain, func(w *world) {
		for i, tt := range []struct {
			fields []field
			want   string
		}{
			{long, "tokens_exceed_team_limit"},
			{long, "tokens_exceed_team_limit"},
			{speech("gpt-4o-transcribe"), ""},
			{speech("gpt-4o-transcribe"), "rate_limit_exceeded"},
		} {
			w.east.Script(azuresim.Step{Delay: time.Second})
			got := w.post(path, tt.fields)
			if noted := strings.TrimPrefix(got.header.Get("X-Weir-Policy"), "shadow: "); got.status != http.StatusOK || noted != tt.want {
				t.Errorf("%d: answered %d, %q: %s", i, got.status, noted, got.body)
			}
			synctest.Wait()
		}
	}, uploading(t, "rpm: 1, burst_requests: 1, concurrency: 1, tpm: 1000, mode: shadow")...)
}

// TestUploadsRehearsedOnce holds that an upload whose request the limits would have
// refused, which let pass, takes no tokens of them either.
func TestUploadsRehearsedOnce(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for i, want := range []string{"", "rate_limit_exceeded", "rate_limit_exceeded", ""} {
			if i == 3 {
				time.Sleep(time.Second) // a request has flowed in, and no more than one token
			}
			got := w.post("/v1/audio/transcriptions", speech("gpt-4o-transcribe"))
			if noted := strings.TrimPrefix(got.header.Get("X-Weir-Policy"), "shadow: "); got.status != http.StatusOK || noted != want {
				t.Errorf("%d: answered %d, %q: %s", i, got.status, noted, got.body)
			}
			synctest.Wait()
		}
	}, uploading(t, "rpm: 60, burst_requests: 1, tpm: 60, burst_tokens: 100, mode: shadow")...)
}

// TestUploadsOfKeys holds that a key's own limits are asked first too.
func TestUploadsOfKeys(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		slow := w.knock("/v1/files", searchKey, kinds()["/v1/files"])
		slow.hear()
		got := w.knock("/v1/files", searchKey, kinds()["/v1/files"]).hear()
		if want := fmt.Sprintf("Key %q has 1 requests open", "search-1"); got.status != http.StatusTooManyRequests || !strings.HasPrefix(got.message(), want) {
			t.Errorf("answered %d %s", got.status, got.body)
		}
		slow.say(slow.body)
		if got := slow.hear(); got.status != http.StatusOK {
			t.Errorf("answered %d %s", got.status, got.body)
		}
	}, append(uploading(t, "concurrency: 9"), `"${SEARCH_KEY}"`, `"${SEARCH_KEY}", limits: { concurrency: 1 }`)...)
}

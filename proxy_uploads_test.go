package main_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/usage"
)

// field is one part of a form; one with a filename is a file.
type field struct{ name, filename, kind, value string }

// written returns a form and its Content-Type.
func written(t testing.TB, fields ...field) (body, kind string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("form-data; name=%q", f.name)}}
		if f.filename != "" {
			h.Set("Content-Disposition", multipart.FileContentDisposition(f.name, f.filename))
		}
		if f.kind != "" {
			h.Set("Content-Type", f.kind)
		}
		p, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(p, f.value)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// forms are the edits that add models that are sent forms, and a directory for
// uploads, which is returned.
func forms(t testing.TB) (dir string, edits []string) {
	t.Helper()
	dir = t.TempDir()
	return dir, []string{
		"models:\n", `models:
  whisper: { base_model: whisper-1, deployments: [{ backend: east, deployment: whisper }] }
  gpt-4o-transcribe: { price: { input: 20, output: 40 }, deployments: [{ backend: east, deployment: transcribe }, { backend: west, deployment: transcribe, priority: 1 }] }
  v1-transcribe: { price: { input: 20, output: 40 }, deployments: [{ backend: west, deployment: transcribe }] }
  gpt-image-1: { price: { input: 20, output: 40 }, deployments: [{ backend: west, deployment: image }] }
`,
		`listen: "127.0.0.1:1"`, `listen: "127.0.0.1:1", upload_dir: "` + dir + `", max_upload: 2MiB, max_upload_disk: 2MiB`,
	}
}

// sound is a WAV file of so many seconds, each 32,000 bytes.
func sound(seconds int) string {
	const rate = 16_000
	size := seconds * rate * 2
	h := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	h = append(h, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	return string(h) + strings.Repeat("\x01", size)
}

// post sends a form.
func (w *world) post(path string, fields []field, headers ...string) reply {
	w.t.Helper()
	body, kind := written(w.t, fields...)
	return w.do(w.t.Context(), http.MethodPost, path, body, append([]string{"Content-Type", kind}, headers...)...)
}

// speech is a transcription of a file, whose model comes behind it.
func speech(model string, more ...field) []field {
	return append([]field{{"file", "a \"b\".wav", "audio/wav", sound(2)}, {"model", "", "", model}}, more...)
}

// seen returns the parts of a form as a resource saw them.
func seen(r azuresim.Request) []field {
	var all []field
	for _, p := range r.Form {
		all = append(all, field{p.Name, p.Filename, p.Header.Get("Content-Type"), p.SHA256})
	}
	return all
}

// hashed returns fields as seen does.
func hashed(fields ...field) []field {
	all := slices.Clone(fields)
	for i, f := range all {
		sum := sha256.Sum256([]byte(f.value))
		all[i].value = hex.EncodeToString(sum[:])
	}
	return all
}

// TestForms is contract 1.1, 1.7 and A26: forms are served by each form of the path,
// with the model behind the file, and go on with every other part as it was.
func TestForms(t *testing.T) {
	t.Parallel()
	picture := []field{{"image[]", "a.png", "image/png", "x"}, {"image[]", "b.png", "image/png", "y"}, {"prompt", "", "", "a cat"}, {"model", "", "", "gpt-image-1"}}
	tests := []struct {
		path     string
		fields   []field
		upstream string
		classic  bool
	}{
		{"audio/transcriptions", speech("gpt-4o-transcribe", field{"language", "", "", "en"}, field{"x_unknown", "", "text/x", "\x00\xff"}), "/openai/deployments/transcribe/audio/transcriptions", true},
		{"audio/translations", speech("gpt-4o-transcribe"), "/openai/deployments/transcribe/audio/translations", true},
		{"audio/transcriptions", speech("v1-transcribe"), "/openai/v1/audio/transcriptions", false},
		{"images/edits", picture, "/openai/v1/images/edits", false},
	}
	for _, tt := range tests {
		t.Run(tt.path+" at "+tt.upstream, func(t *testing.T) {
			t.Parallel()
			_, edits := forms(t)
			bubble(t, plain, func(w *world) {
				at := slices.IndexFunc(tt.fields, func(f field) bool { return f.name == "model" })
				rest := slices.Delete(slices.Clone(tt.fields), at, at+1)
				model := tt.fields[at].value
				want := hashed(rest...)
				if !tt.classic {
					name := strings.TrimPrefix(strings.TrimPrefix(model, "v1-"), "gpt-")
					want = append(hashed(field{"model", "", "", strings.TrimSuffix(name, "-1")}), want...)
				}
				for i, form := range []string{
					"/v1/", "/", "/openai/v1/", "/openai/", "/openai/deployments/" + model + "/", "/deployments/" + model + "/", "/v1/deployments/" + model + "/",
				} {
					fields := tt.fields
					if strings.Contains(form, "deployments") {
						fields = rest
					}
					got := w.post(form+tt.path+"?api-version=2025-04-01-preview", fields, "api-key", searchKey)
					asked := w.asked()
					if got.status != http.StatusOK || !json.Valid([]byte(got.body)) || len(asked) != i+1 {
						t.Fatalf("%s: %d %v %s after %d calls", form, got.status, got.err, got.body, len(asked))
					}
					last := asked[i]
					if diff := gocmp.Diff(want, seen(last), gocmp.AllowUnexported(field{})); diff != "" || last.Path != tt.upstream {
						t.Errorf("%s: asked %s (-want +got):\n%s", form, last.Path, diff)
					}
					if last.Header.Get("Content-Length") == "" && last.Header.Get("Transfer-Encoding") != "" {
						t.Errorf("the size is not said: %v", last.Header)
					}
					rec := w.record()
					if rec.Model != model || rec.Outcome != usage.OK || rec.Input != int64(last.PromptTokens) || rec.Output != int64(last.CompletionTokens) || rec.Cost == 0 || rec.Counted {
						t.Errorf("%s: recorded %+v of %d and %d", form, rec, last.PromptTokens, last.CompletionTokens)
					}
				}
			}, edits...)
		})
	}
}

// TestTranscriptFormats is A26: every form of a transcript is handed on as it comes,
// and charged: by its usage, else by the times in it, else by what the file says of
// its length.
func TestTranscriptFormats(t *testing.T) {
	t.Parallel()
	const second = usage.Dollar * 6 / 1000 / 60
	tests := []struct {
		name, model, format string
		kind                string // of the answer
		begins              string
		sound               time.Duration
		counted             bool
	}{
		{"whisper", "whisper", "", "application/json", `{"text":`, 3 * time.Second, false},
		{"whisper, in words", "whisper", "verbose_json", "application/json", `{"duration":`, 3 * time.Second, false},
		{"whisper, text", "whisper", "text", "text/plain; charset=utf-8", "This is", 2 * time.Second, true},
		{"whisper, captions", "whisper", "srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> ", 3 * time.Second, true},
		{"whisper, other captions", "whisper", "vtt", "text/vtt; charset=utf-8", "WEBVTT\n", 3 * time.Second, true},
		{"tokens", "gpt-4o-transcribe", "json", "application/json", `{"text":`, 0, false},
		{"tokens, text", "gpt-4o-transcribe", "text", "text/plain; charset=utf-8", "This is", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, edits := forms(t)
			bubble(t, plain, func(w *world) {
				fields := speech(tt.model)
				if tt.format != "" {
					fields = append(fields, field{"response_format", "", "", tt.format})
				}
				got := w.post("/v1/audio/transcriptions", fields)
				if got.status != http.StatusOK || got.err != nil || got.header.Get("Content-Type") != tt.kind || !strings.HasPrefix(got.body, tt.begins) {
					t.Fatalf("%d %v %v\n%s", got.status, got.err, got.header, got.body)
				}
				rec := w.record()
				if rec.Sound.Round(100*time.Millisecond) != tt.sound || rec.Counted != tt.counted || rec.Outcome != usage.OK {
					t.Errorf("recorded %v of sound, %+v", rec.Sound, rec)
				}
				if cost := usage.USD(rec.Sound.Seconds() * float64(second)); tt.model == "whisper" && (rec.Cost != cost || rec.ReservedCost == 0) {
					t.Errorf("cost %v of %v reserved, want %v", rec.Cost, rec.ReservedCost, cost)
				}
				if tt.model != "whisper" && (rec.Input < 20 || rec.Output == 0 || rec.Cost == 0) {
					t.Errorf("recorded %d and %d, %v", rec.Input, rec.Output, rec.Cost)
				}
			}, edits...)
		})
	}
}

// TestFormsStream: what can be streamed comes event by event and is metered; a model
// that cannot stream gives an event all the same.
func TestFormsStream(t *testing.T) {
	t.Parallel()
	_, edits := forms(t)
	yes := field{"stream", "", "", "true"}
	bubble(t, plain, func(w *world) {
		got := w.post("/v1/audio/transcriptions", speech("gpt-4o-transcribe", yes))
		asked := w.asked()
		if rec := w.record(); !strings.Contains(got.body, "transcript.text.delta") || !strings.Contains(got.body, "transcript.text.done") || rec.Output != int64(asked[0].CompletionTokens) || rec.Counted || !rec.Stream {
			t.Errorf("%d %v %s\nrecorded %+v", got.status, got.err, got.body, rec)
		}
		got = w.post("/v1/images/edits", []field{{"image", "a.png", "image/png", "x"}, {"prompt", "", "", "a cat"}, {"model", "", "", "gpt-image-1"}, yes, {"partial_images", "", "", "2"}})
		if rec := w.record(); !strings.Contains(got.body, "event: image_edit.partial_image\n") || !strings.Contains(got.body, "event: image_edit.completed\n") || rec.Output == 0 || rec.Counted {
			t.Errorf("%d %v %.300s\nrecorded %+v", got.status, got.err, got.body, rec)
		}
		got = w.post("/v1/audio/transcriptions", speech("whisper", yes))
		want := "event: transcript.text.done\ndata: {\"type\":\"transcript.text.done\""
		if rec := w.record(); got.status != http.StatusOK || got.err != nil || got.header.Get("Content-Type") != "text/event-stream" || !strings.Contains(got.body, want[:30]) || len(got.events()) != 1 || rec.Sound != 3*time.Second {
			t.Errorf("%d %v %v %s", got.status, got.err, got.header, got.body)
		}
		w.east.Script(azuresim.Step{Fault: "cut-stream"})
		got = w.post("/v1/audio/transcriptions", speech("gpt-4o-transcribe", yes))
		if !errors.Is(got.err, io.ErrUnexpectedEOF) || !strings.Contains(got.body, "upstream_stream_interrupted") {
			t.Errorf("cut: %v %s", got.err, got.body)
		}
		if unwell := w.unwell(); len(unwell) != 0 {
			t.Error(unwell)
		}
	}, edits...)
}

// TestFormsRefused: a form that cannot be read, or only so that two readers read two
// forms in it, is refused before anything is sent.
func TestFormsRefused(t *testing.T) {
	t.Parallel()
	const kind = "multipart/form-data; boundary=b"
	part := func(head, value string) string { return "--b\r\n" + head + "\r\n\r\n" + value + "\r\n" }
	named := func(name, value string) string {
		return part(`Content-Disposition: form-data; name="`+name+`"`, value)
	}
	const end = "--b--\r\n"
	model := named("model", "whisper")
	tests := []struct {
		name, kind, body string
		status           int
		code, param      string
	}{
		{"JSON", "application/json", `{"model":"whisper"}`, 415, "unsupported_media_type", ""},
		{"another form", "multipart/mixed; boundary=b", model + end, 415, "unsupported_media_type", ""},
		{"no boundary", "multipart/form-data", model + end, 400, "invalid_form", ""},
		{"a long boundary", "multipart/form-data; boundary=" + strings.Repeat("b", 71), model + end, 400, "invalid_form", ""},
		{"nothing", kind, "", 400, "invalid_form", ""},
		{"no end", kind, model, 400, "invalid_form", ""},
		{"half a part", kind, model[:30], 400, "invalid_form", ""},
		{"half a file", kind, model + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc", 400, "invalid_form", ""},
		{"no name", kind, part("Content-Disposition: form-data", "x") + end, 400, "invalid_form", ""},
		{"no disposition", kind, part("X-A: b", "x") + end, 400, "invalid_form", ""},
		{"two dispositions", kind, part("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"model\"", "x") + end, 400, "invalid_form", ""},
		{"two names", kind, part(`Content-Disposition: form-data; name="a"; name="model"`, "x") + end, 400, "invalid_form", ""},
		{"a name with a quote", kind, part(`Content-Disposition: form-data; name="a\"b"`, "x") + end, 400, "invalid_form", ""},
		{"model twice", kind, model + named("model", "gpt-4o-transcribe") + end, 400, "invalid_form", "model"},
		{"model in another case", kind, model + named("Model", "x") + end, 400, "invalid_form", "Model"},
		{"model as a list", kind, named("model[]", "whisper") + end, 400, "invalid_form", "model[]"},
		{"model as a file", kind, part(`Content-Disposition: form-data; name="model"; filename="x"`, "whisper") + end, 400, "invalid_form", "model"},
		{"model too long", kind, named("model", strings.Repeat("x", 64<<10+1)) + end, 400, "invalid_form", "model"},
		{"prompt too long", kind, model + named("prompt", strings.Repeat("x", 128<<10+1)) + end, 400, "invalid_form", "prompt"},
		{"prompt that is no text", kind, model + named("prompt", "\xff") + end, 400, "invalid_form", "prompt"},
		{"stream that is neither", kind, model + named("stream", "True") + end, 400, "invalid_type", "stream"},
		{"an encoding", kind, model + part("Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Transfer-Encoding: base64", "eA==") + end, 400, "invalid_form", "file"},
		{"two types", kind, model + part("Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: a/b\r\nContent-Type: c/d", "x") + end, 400, "invalid_form", "file"},
		{"too many parts", kind, strings.Repeat(named("a", ""), 257) + end, 400, "invalid_form", ""},
		{"a large head", kind, part("X-A: "+strings.Repeat("a", 17<<10)+"\r\nContent-Disposition: form-data; name=\"a\"", "x") + end, 400, "invalid_form", ""},
		{"large heads", kind, strings.Repeat(part(`Content-Disposition: form-data; name="a"; filename="`+strings.Repeat("f", 8<<10)+`"`, ""), 9) + end, 400, "invalid_form", "a"},
		{"no model", kind, named("file", "x") + end, 400, "missing_required_parameter", "model"},
		{"an unknown model", kind, named("model", "nobody") + end, 404, "model_not_found", "model"},
		{"too large", kind, model + named("file", strings.Repeat("x", 2<<20)) + end, 413, "request_too_large", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, edits := forms(t)
			bubble(t, plain, func(w *world) {
				for _, chunked := range []bool{false, true} {
					body := io.Reader(strings.NewReader(tt.body))
					if chunked {
						body = struct{ io.Reader }{body}
					}
					req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://localhost/v1/audio/transcriptions", body)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Content-Type", tt.kind)
					req.Header.Set("Authorization", "Bearer "+searchKey)
					resp, err := w.client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					got := w.finish(resp)
					if code, param, _ := got.code(); got.status != tt.status || code != tt.code || param != tt.param || len(w.asked()) != 0 {
						t.Errorf("chunked %t: %d %s after %d calls", chunked, got.status, got.body, len(w.asked()))
					}
					if rec := w.record(); rec.Outcome != usage.ClientError || rec.Code != tt.code {
						t.Errorf("recorded %s %s", rec.Outcome, rec.Code)
					}
				}
				empty(t, dir)
				time.Sleep(time.Second) // the server waits for a client that still sends
			}, edits...)
		})
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left in the directory of uploads: %v", left, err)
	}
}

// TestFormsLeaveNothing: an upload takes room for as long as its request lasts,
// however that ends. There is room for one.
func TestFormsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir, edits := forms(t)
	bubble(t, plain, func(w *world) {
		large := speech("gpt-4o-transcribe")
		large[0].value = sound(60) // 1.9 MB
		post := func(more ...field) reply {
			w.t.Helper()
			return w.post("/v1/audio/transcriptions", append(slices.Clone(large), more...))
		}
		check := func(got reply, status int) {
			w.t.Helper()
			if got.status != status {
				w.t.Errorf("%d %.500s", got.status, got.body)
			}
			empty(t, dir)
		}
		check(post(), 200)
		check(post(field{"stream", "", "", "true"}), 200)
		check(post(field{"response_format", "", "", "text"}), 200)
		check(post(field{"model", "", "", "again"}), 400)
		w.east.Script(azuresim.Step{Fault: "special-tokens"})
		check(post(), 400)
		check(w.post("/v1/audio/transcriptions", large, "x-weir-explain", "1"), 200)
		check(w.post("/v1/audio/transcriptions", large, asOther()...), 403)

		// The same bytes are sent to the next deployment.
		before := len(w.asked())
		w.east.Script(azuresim.Step{Fault: "server-error"})
		check(post(field{"temperature", "", "", "0.9"}), 200)
		alone := slices.Clone(large)
		alone[1].value = "whisper"
		w.east.Script(azuresim.Step{Fault: "server-error"})
		check(w.post("/v1/audio/transcriptions", append(alone, field{"temperature", "", "", "0.9"})), 200)
		asked := w.asked()[before:]
		if len(asked) != 4 {
			w.t.Fatalf("%d calls", len(asked))
		}
		for _, r := range asked[1:] {
			parts := slices.DeleteFunc(seen(r), func(f field) bool { return f.name == "model" })
			if diff := gocmp.Diff(seen(asked[0]), parts, gocmp.AllowUnexported(field{})); diff != "" {
				w.t.Errorf("sent again (-first +again):\n%s", diff)
			}
		}

		// Its client leaves, while it sends and while it waits.
		body, kind := written(t, large...)
		ctx, leave := context.WithCancel(w.t.Context())
		in, out := io.Pipe()
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v1/audio/transcriptions", in)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer "+searchKey)
		go func() {
			_, _ = io.WriteString(out, body[:1<<20])
			leave()
			_ = out.CloseWithError(context.Canceled)
		}()
		if _, err := w.client.Do(req); err == nil {
			t.Error("a client that left was answered")
		}
		if rec := w.record(); rec.Outcome != usage.ClientGone && rec.Outcome != usage.ClientError {
			t.Errorf("recorded %s", rec.Outcome)
		}
		w.east.Script(azuresim.Step{Delay: time.Minute})
		ctx, leave = context.WithTimeout(w.t.Context(), time.Second)
		defer leave()
		if got := w.do(ctx, http.MethodPost, "/v1/audio/transcriptions", body, "Content-Type", kind); got.err == nil {
			t.Errorf("a client that left was answered %d", got.status)
		}
		synctest.Wait()
		check(post(), 200)

		// One more at the same time finds no room.
		w.east.Script(azuresim.Step{Delay: 10 * time.Second})
		first := make(chan reply, 1)
		go func() { first <- post() }()
		time.Sleep(time.Second)
		got := post()
		if code, _, _ := got.code(); got.status != http.StatusServiceUnavailable || code != "gateway_overloaded" || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", got.status, got.body)
		}
		check(<-first, 200)
		check(post(), 200)
	}, edits...)
}

// TestFormsNeedRoom: where nothing can be written, what fits into memory is served,
// and the rest is told so.
func TestFormsNeedRoom(t *testing.T) {
	t.Parallel()
	dir, edits := forms(t)
	bubble(t, plain, func(w *world) {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if got := w.post("/v1/audio/transcriptions", speech("whisper")); got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
		large := speech("whisper")
		large[0].value = sound(20)
		got := w.post("/v1/audio/transcriptions", large)
		if code, _, _ := got.code(); got.status != http.StatusInsufficientStorage || code != "no_room_for_upload" || strings.Contains(got.body, dir) || got.header.Get("X-Should-Retry") != "false" {
			t.Errorf("%d %s", got.status, got.body)
		}
		rec := w.record()
		if rec.Outcome != usage.GatewayError {
			t.Errorf("recorded %s", rec.Outcome)
		}
		if log := w.log.String(); !strings.Contains(log, "no such file or directory") || !strings.Contains(log, `"msg":"fault"`) || !strings.Contains(log, rec.RequestID) {
			t.Errorf("why is not in the log:\n%s", log)
		}
	}, edits...)
}

// TestSlowForm: an upload that hardly comes is given up.
func TestSlowForm(t *testing.T) {
	t.Parallel()
	_, edits := forms(t)
	bubble(t, plain, func(w *world) {
		body, kind := written(t, speech("whisper")...)
		in, out := io.Pipe()
		go func() {
			_, _ = io.WriteString(out, body[:5000])
			time.Sleep(time.Minute)
			_ = out.Close()
		}()
		start := time.Now()
		req, _ := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://localhost/v1/audio/transcriptions", in)
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer "+searchKey)
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got := w.finish(resp)
		if code, _, _ := got.code(); got.status != http.StatusRequestTimeout || code != "request_timeout" || time.Since(start) != 10*time.Second {
			t.Errorf("%d %s after %v", got.status, got.body, time.Since(start))
		}
		time.Sleep(time.Minute)
	}, edits...)
}

// TestFormsExplained: a form may ask what would become of it.
func TestFormsExplained(t *testing.T) {
	t.Parallel()
	_, edits := forms(t)
	bubble(t, plain, func(w *world) {
		fields := speech("gpt-4o-transcribe", field{"prompt", "", "", "hello world"})
		got := w.post("/v1/audio/transcriptions", fields, "x-weir-explain", "1")
		var says struct {
			Decision string
			Prompt   struct {
				Total     int64
				Estimated bool
			} `json:"prompt_tokens"`
			Reserved    int64   `json:"reserved_tokens"`
			Cost        float64 `json:"reserved_usd"`
			Deployments []struct{ Deployment string }
		}
		if err := json.Unmarshal([]byte(got.body), &says); err != nil || len(w.asked()) != 0 {
			t.Fatalf("%v after %d calls: %s", err, len(w.asked()), got.body)
		}
		if says.Decision != "forward" || says.Prompt.Total != 22 || !says.Prompt.Estimated || says.Reserved != 22 || says.Cost == 0 || len(says.Deployments) != 2 {
			t.Errorf("%s", got.body)
		}
	}, edits...)
}

// TestFormsAreGuarded: keys, models and limits hold for forms; an estimate that is
// larger than the allowance ever is does not shut out what fits.
func TestFormsAreGuarded(t *testing.T) {
	t.Parallel()
	_, edits := forms(t)
	check := func(w *world, got reply, status int, code string) {
		w.t.Helper()
		if c, _, _ := got.code(); got.status != status || c != code {
			w.t.Errorf("%d %s", got.status, got.body)
		}
	}
	const path = "/v1/audio/transcriptions"
	bubble(t, plain, func(w *world) {
		check(w, w.post(path, speech("whisper"), "Authorization", "Bearer sk-nobody"), 401, "invalid_api_key")
		check(w, w.post(path, speech("whisper"), asOther()...), 403, "model_not_allowed")
	}, edits...)
	bubble(t, plain, func(w *world) {
		check(w, w.post(path, speech("whisper")), 200, "")
		check(w, w.post(path, speech("whisper")), 429, "rate_limit_exceeded")
	}, append(limited("rpm: 1, burst_requests: 1"), edits...)...)
	bubble(t, plain, func(w *world) {
		fields := speech("gpt-4o-transcribe")
		fields[0].value = strings.Repeat("x", 1<<20) // 524 seconds, as far as anyone can tell
		check(w, w.post(path, fields), 200, "")
		check(w, w.post(path, fields), 429, "rate_limit_exceeded")
		fields = append(fields, field{"prompt", "", "", strings.Repeat("word ", 600)})
		check(w, w.post(path, fields), 400, "tokens_exceed_team_limit")
	}, append(limited("tpm: 400, burst_tokens: 400"), edits...)...)
}

// TestSoundByAnyName: a file plays as long as any other whose name a resource may take
// for that of the file.
func TestSoundByAnyName(t *testing.T) {
	t.Parallel()
	_, edits := forms(t)
	bubble(t, plain, func(w *world) {
		for _, name := range []string{"file", "file[]", "File"} {
			w.east.Script(azuresim.Step{Status: http.StatusOK, Body: "said", Header: http.Header{"Content-Type": {"text/plain"}}})
			got := w.post("/v1/audio/transcriptions", []field{{name, "a.wav", "audio/wav", sound(2)}, {"model", "", "", "whisper"}, {"response_format", "", "", "text"}})
			if rec := w.record(); got.status != http.StatusOK || rec.Sound != 2*time.Second || rec.Cost == 0 {
				t.Errorf("%s: %d %s: %v of sound for %v", name, got.status, got.body, rec.Sound, rec.Cost)
			}
		}
	}, edits...)
}

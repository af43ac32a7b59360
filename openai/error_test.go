package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// envelope is the error object as the official clients decode it.
type envelope struct {
	Error struct {
		Message, Type string
		Param, Code   *string
	}
}

// decode returns the envelope in body, which must hold it and nothing else.
func decode(t *testing.T, body []byte) envelope {
	t.Helper()
	var shape map[string]map[string]any
	if err := json.Unmarshal(body, &shape); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, key := range []string{"message", "type", "param", "code"} {
		if _, ok := shape["error"][key]; !ok {
			t.Errorf("%s has no %s", body, key)
		}
	}
	if len(shape) != 1 {
		t.Errorf("%s has %d members, want error alone", body, len(shape))
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return e
}

// codes returns the value of every Code constant in error.go.
func codes(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, code)
		}
		return true
	})
	if len(all) < 20 {
		t.Fatalf("error.go has %d codes, want more", len(all))
	}
	return all
}

func TestEnvelopeOfEveryCode(t *testing.T) {
	t.Parallel()
	for _, code := range codes(t) {
		body := (&openai.Error{Status: 400, Code: code, Message: "It is wrong."}).Envelope()
		if !strings.HasPrefix(string(body), `{"error":{"message":"`) {
			t.Errorf("%s does not begin with the error", body)
		}
		e := decode(t, body)
		if e.Error.Code == nil || *e.Error.Code != code || e.Error.Param != nil || e.Error.Type != "invalid_request_error" {
			t.Errorf("the envelope of %s is %s", code, body)
		}
		if want := "It is wrong. (docs/errors.md#" + strings.ToLower(code) + ")"; e.Error.Message != want {
			t.Errorf("the message is %q, want %q", e.Error.Message, want)
		}
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  openai.Error
		want string
	}{
		{"all", openai.Error{Status: 429, Message: "m", Type: "tokens", Param: "p", Code: "C"}, `{"error":{"message":"m (docs/errors.md#c)","type":"tokens","param":"p","code":"C"}}`},
		{"401", openai.Error{Status: 401, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"invalid_request_error","param":null,"code":"c"}}`},
		{"403", openai.Error{Status: 403, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"permission_error","param":null,"code":"c"}}`},
		{"404", openai.Error{Status: 404, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"invalid_request_error","param":null,"code":"c"}}`},
		{"413", openai.Error{Status: 413, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"invalid_request_error","param":null,"code":"c"}}`},
		{"429", openai.Error{Status: 429, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"rate_limit_error","param":null,"code":"c"}}`},
		{"500", openai.Error{Status: 500, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"server_error","param":null,"code":"c"}}`},
		{"503", openai.Error{Status: 503, Message: "m", Code: "c"}, `{"error":{"message":"m (docs/errors.md#c)","type":"server_error","param":null,"code":"c"}}`},
		{"what JSON must escape", openai.Error{Status: 400, Message: "a\"\\\n\x00\xff<|é", Param: "messages[0].\"x\"", Code: "c"}, `{"error":{"message":"a\"\\\n\u0000\ufffd<|é (docs/errors.md#c)","type":"invalid_request_error","param":"messages[0].\"x\"","code":"c"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.err.Envelope()
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("Envelope() (-want +got):\n%s", diff)
			}
			decode(t, got)
			mustParse(t, string(got))
		})
	}
}

func TestErrorIsAnError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("proxy: %w", openai.BadRequest(openai.CodeInvalidType, "n", "n must be an integer."))
	fault, ok := errors.AsType[*openai.Error](err)
	if !ok || fault.Status != 400 || fault.Param != "n" {
		t.Errorf("errors.AsType finds %v, %v", fault, ok)
	}
	if want := "proxy: n must be an integer. (400 invalid_type)"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
}

// TestNormalizeError goes through the forms of the wire contract, section 4.1.
func TestNormalizeError(t *testing.T) {
	t.Parallel()
	const nothing = "The upstream answered %d without a message."
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"a: OpenAI's own", `{"error":{"message":"m","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, 400, ""},
		{"a: in another order, with space", "{\n  \"error\": {\"code\":null, \"type\" : \"server_error\",\"param\":null,\"message\":\"\\u0041\"}\n}\n", 500, ""},
		{"a: with extras", `{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400},"request_id":"r"}`, 400, ""},
		{"g: innererror", `{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, 400, ""},
		{"g: inner_error", `{"error":{"message":"m","type":null,"param":"prompt","code":"content_filter","inner_error":{"code":"ResponsibleAIPolicyViolation","content_filter_results":{}}}}`, 400, ""},
		{"b: code and message", `{"error":{"code":"429","message":"m"}}`, 429, `{"error":{"type":"rate_limit_error","param":null,"code":"429","message":"m"}}`},
		{"b: 401", `{"error":{"code":"401","message":"Access denied"}}`, 401, `{"error":{"type":"invalid_request_error","param":null,"code":"401","message":"Access denied"}}`},
		{"b: with innererror", `{"error":{"innererror":{"x":1},"code":"c","message":"m"}}`, 500, `{"error":{"type":"server_error","param":null,"innererror":{"x":1},"code":"c","message":"m"}}`},
		{"f: a code that is a number", `{"error":{"code":408,"message":"m"}}`, 408, `{"error":{"type":"invalid_request_error","param":null,"code":408,"message":"m"}}`},
		{"an error without members", `{"error":{}}`, 500, `{"error":{"message":"The upstream sent no message.","type":"server_error","param":null,"code":null}}`},
		{"an error with space inside", `{"error": { } }`, 500, `{"error": {"message":"The upstream sent no message.","type":"server_error","param":null,"code":null } }`},
		{"an error without a message", `{"error":{"code":"c"}}`, 503, `{"error":{"message":"The upstream sent no message.","type":"server_error","param":null,"code":"c"}}`},
		{"c: flat", `{"statusCode":401,"message":"m"}`, 401, `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"unauthorized"}}`},
		{"c: flat with an id", `{"statusCode":500,"message":"Internal server error","activityId":"x"}`, 500, `{"error":{"message":"Internal server error","type":"server_error","param":null,"code":"internal_server_error"}}`},
		{"c: flat with a code", `{"code":"TooMany","message":"m"}`, 429, `{"error":{"message":"m","type":"rate_limit_error","param":null,"code":"TooMany"}}`},
		{"c: null beside the message", `{"error":null,"message":"m"}`, 404, `{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"not_found"}}`},
		{"detail", `{"detail":"Not Found"}`, 404, `{"error":{"message":"Not Found","type":"invalid_request_error","param":null,"code":"not_found"}}`},
		{"d: a string", `{"error":"it \"broke\"\u0021"}`, 502, `{"error":{"message":"it \"broke\"!","type":"server_error","param":null,"code":"bad_gateway"}}`},
		{"d: an empty string", `{"error":""}`, 400, envelopeOf(fmt.Sprintf(nothing, 400), "invalid_request_error", "bad_request")},
		{"an array of errors", `[{"error":{"message":"m"}}]`, 400, envelopeOf(fmt.Sprintf(nothing, 400), "invalid_request_error", "bad_request")},
		{"an error that is an array", `{"error":["m"]}`, 403, envelopeOf(fmt.Sprintf(nothing, 403), "permission_error", "forbidden")},
		{"an object that says nothing", `{}`, 504, envelopeOf(fmt.Sprintf(nothing, 504), "server_error", "gateway_timeout")},
		{"a detail that is an array", `{"detail":[{"loc":["body"],"msg":"m"}]}`, 422, envelopeOf(fmt.Sprintf(nothing, 422), "invalid_request_error", "422")},
		{"e: HTML", "<html><body>502 <script>alert(1)</script></body></html>", 502, envelopeOf(fmt.Sprintf(nothing, 502), "server_error", "bad_gateway")},
		{"e: empty", "", 503, envelopeOf(fmt.Sprintf(nothing, 503), "server_error", "service_unavailable")},
		{"e: empty 408", "", 408, envelopeOf(fmt.Sprintf(nothing, 408), "invalid_request_error", "request_timeout")},
		{"plain text", "upstream connect error", 503, envelopeOf(fmt.Sprintf(nothing, 503), "server_error", "service_unavailable")},
		{"cut JSON", `{"error":{"message":"m`, 500, envelopeOf(fmt.Sprintf(nothing, 500), "server_error", "internal_server_error")},
		{"bytes that are no text", "\x1f\x8b\x08\x00", 429, envelopeOf(fmt.Sprintf(nothing, 429), "rate_limit_error", "too_many_requests")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == "" {
				want = tt.body
			}
			got := openai.NormalizeError(tt.status, []byte(tt.body))
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("NormalizeError(%d, %s) (-want +got):\n%s", tt.status, tt.body, diff)
			}
			mustParse(t, string(got))
		})
	}
}

// envelopeOf returns an envelope without a param.
func envelopeOf(message, kind, code string) string {
	return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"param":null,"code":%q}}`, message, kind, code)
}

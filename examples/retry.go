// Command retry issues a code and asks for it until it is right. The service is at OTPD_URL
// (http://127.0.0.1:8080), and OTPD_API_KEY is the secret of an API key, if it has any.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// answer is what is used of an answer to generate, resend or verify. ErrorCode is empty in one that
// brings what was asked for.
type answer struct {
	OTP               string `json:"otp"`
	Context           string `json:"context"`
	Error             string `json:"error"`
	ErrorCode         string `json:"error_code"`
	AttemptsRemaining int    `json:"attempts_remaining"`
}

var client = http.Client{Timeout: 5 * time.Second}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	context, err := issue("generate", map[string]string{"identifier": "you@example.com"})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		typed := strings.TrimSpace(lines.Text())
		if typed == "" {
			continue
		}
		a, err := post("verify", map[string]string{"otp": typed, "context": context})
		switch {
		case err != nil:
			return err
		case a.ErrorCode == "":
			fmt.Println("Verified.")
			return nil
		case a.ErrorCode == "INVALID_OTP" && a.AttemptsRemaining > 0:
			// It counts: the new context says so, and goes with the next attempt.
			context = a.Context
			fmt.Println(a.Error)
		case a.ErrorCode == "OTP_EXPIRED":
			// The verification goes on with a new code.
			if context, err = issue("resend", map[string]string{"context": context}); err != nil {
				return err
			}
		default:
			// Used, revoked, exhausted, ended: only a new verification helps.
			return errors.New(a.Error)
		}
	}
	return errors.New("nothing more was typed")
}

// issue returns a new code's context. An application sends the code to the user, and does not show it.
func issue(operation string, fields map[string]string) (string, error) {
	a, err := post(operation, fields)
	if err == nil && a.ErrorCode != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		return "", err
	}
	fmt.Println("Code:", a.OTP)
	return a.Context, nil
}

// post returns the answer. One that says when to try again (429 and 503) is asked for again with the
// same fields, and so is one that did not come. It gives up after the fifth try, and rather than make
// the user wait for more than a minute.
func post(operation string, fields map[string]string) (answer, error) {
	reason := ""
	for range 5 {
		a, wait, err := try(operation, fields)
		if err == nil && wait == "" {
			return a, nil
		}
		reason = a.Error
		if err != nil {
			wait, reason = "1", err.Error()
		}
		seconds, err := strconv.Atoi(wait)
		if err != nil || seconds > 60 {
			break
		}
		time.Sleep(time.Duration(seconds) * time.Second)
	}
	return answer{}, fmt.Errorf("try again later: %s", reason)
}

// try sends one request and returns the answer and its Retry-After.
func try(operation string, fields map[string]string) (a answer, wait string, err error) {
	body, err := json.Marshal(fields)
	if err != nil {
		return a, "", err
	}
	url := cmp.Or(os.Getenv("OTPD_URL"), "http://127.0.0.1:8080") + "/v1/otp/" + operation
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return a, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if secret := os.Getenv("OTPD_API_KEY"); secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := client.Do(request)
	if err != nil {
		return a, "", err
	}
	defer response.Body.Close()
	err = json.NewDecoder(response.Body).Decode(&a)
	return a, response.Header.Get("Retry-After"), err
}

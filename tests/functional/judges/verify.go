// Judges chains with Go's crypto/x509: a JSON list of cases on standard input, one verdict per
// case on standard output. A chain is refused whole if one of its certificates cannot be parsed,
// as in crypto/tls.
package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
)

type testCase struct {
	Client  bool
	Host    string // empty: not checked
	Trusted [][]byte
	Sent    [][]byte
}

func pool(certificates [][]byte) (*x509.CertPool, []*x509.Certificate, error) {
	made := x509.NewCertPool()
	var parsed []*x509.Certificate
	for _, der := range certificates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, err
		}
		made.AddCert(certificate)
		parsed = append(parsed, certificate)
	}
	return made, parsed, nil
}

// Go 1.19 panics on some chains with an unknown key (CVE-2024-24783): not accepted.
func judge(c testCase) (err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("panic: %v", caught)
		}
	}()
	roots, _, err := pool(c.Trusted)
	if err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	_, sent, err := pool(c.Sent)
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range sent[1:] {
		intermediates.AddCert(certificate)
	}
	purpose := x509.ExtKeyUsageServerAuth
	if c.Client {
		purpose = x509.ExtKeyUsageClientAuth
	}
	_, err = sent[0].Verify(x509.VerifyOptions{
		DNSName: c.Host, Roots: roots, Intermediates: intermediates,
		KeyUsages: []x509.ExtKeyUsage{purpose}})
	return err
}

func main() {
	var cases []testCase
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	verdicts := make([]string, len(cases))
	for i, c := range cases {
		if err := judge(c); err != nil {
			verdicts[i] = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		os.Exit(1)
	}
}

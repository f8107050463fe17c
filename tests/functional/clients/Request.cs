/* One HTTPS GET of a .NET Framework program that has revocation checked.
 * Request.exe CA.der|- URL: puts the CA into its user's store (in HOME), prints the status; exit 3
 * when the request fails. */
using System;
using System.IO;
using System.Net;
using Mono.Security.X509;

static class Request
{
    static void Trust(X509Certificate root)
    {
        X509StoreManager.CurrentUser.TrustedRoot.Import(root);
        X509StoreManager.NewCurrentUser.TrustedRoot.Import(root);
    }

    static int Main(string[] args)
    {
        if (args[0] != "-") Trust(new X509Certificate(File.ReadAllBytes(args[0])));
        ServicePointManager.CheckCertificateRevocationList = true;
        try {
            var request = (HttpWebRequest) WebRequest.Create(args[1]);
            request.Timeout = 20000;
            using (var response = (HttpWebResponse) request.GetResponse())
                Console.WriteLine((int) response.StatusCode);
            return 0;
        } catch (WebException e) {
            Console.Error.WriteLine(e);
            return 3;
        }
    }
}

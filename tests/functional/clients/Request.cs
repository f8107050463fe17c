/* One HTTPS GET of a .NET Framework program that has revocation checked.
 * Request.exe CA.der|- URL [CLIENT.p12]: puts the CA into its user's store (in HOME), presents the
 * client's certificate (password: changeit), prints the status; exit 3 when the request fails. */
using System;
using System.IO;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using Mono.Security.X509;
using X509Certificate = Mono.Security.X509.X509Certificate;

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
            if (args.Length > 2)
                request.ClientCertificates.Add(new X509Certificate2(args[2], "changeit"));
            using (var response = (HttpWebResponse) request.GetResponse())
                Console.WriteLine((int) response.StatusCode);
            return 0;
        } catch (WebException e) {
            Console.Error.WriteLine(e);
            return 3;
        }
    }
}

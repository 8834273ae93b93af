"use strict";
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#documents", deepLinking: true, docExpansion: "list", persistAuthorization: false, validatorUrl: null });
